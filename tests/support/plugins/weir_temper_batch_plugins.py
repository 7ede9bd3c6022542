"""``weir_temper_plugins.Batching`` as a script, ``file://``."""

from __future__ import annotations

from weir_temper_plugins import Batching  # type: ignore[import-not-found]

from weir_sdk import serve

if __name__ == "__main__":
    serve(Batching)
