from matrix_plugin import Matrix  # type: ignore[import-not-found]

from weir_sdk import serve

serve(Matrix)
