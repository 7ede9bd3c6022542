"""A stand-in for OpenAI and Anthropic: its own process, settable behaviour, a ledger that survives SIGKILL.

It shares no vendor code with the gateway: a misreading there must not be mirrored here and pass for right.
"""

from weir_cli.mock_upstream.behaviour import Behaviour
from weir_cli.mock_upstream.ledger import Ending, LedgerCall, read_endings, read_ledger

__all__ = ["Behaviour", "Ending", "LedgerCall", "read_endings", "read_ledger"]
