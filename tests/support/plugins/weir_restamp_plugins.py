"""The other command of ``weir_stamp_plugins`` as a script."""

from weir_stamp_plugins import Restamping  # type: ignore[import-not-found]

from weir_sdk import serve

if __name__ == "__main__":
    serve(Restamping)
