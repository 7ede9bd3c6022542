from matrix_plugin import BatchMatrix  # type: ignore[import-not-found]

from weir_sdk import serve

serve(BatchMatrix)
