"""What stops a benchmark."""

from __future__ import annotations

from weir_core.errors import WeirError


class BenchError(WeirError):
    """The benchmark cannot run here or did not measure what it should; the message says what to do."""
