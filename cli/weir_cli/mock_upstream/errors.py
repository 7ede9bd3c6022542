"""What can go wrong with the mock upstream itself, as opposed to what it plays."""

from __future__ import annotations

from weir_core.errors import WeirError


class MockUpstreamError(WeirError):
    """Root of the mock upstream's errors; nothing here is retryable."""


class BehaviourError(MockUpstreamError):
    """A behaviour setting that is unknown or out of range; the message names it."""


class StartError(MockUpstreamError):
    """The process did not become ready; the message carries what it printed."""
