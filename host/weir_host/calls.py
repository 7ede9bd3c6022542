"""What goes into a plugin call and what comes out of it, on the gateway's side."""

from weir_sdk.context import CallInfo
from weir_sdk.outcomes import RequestOutcome

__all__ = ["CallInfo", "RequestOutcome"]
