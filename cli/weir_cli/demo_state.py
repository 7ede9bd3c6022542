"""The demo's names, and what it keeps between starts so that each of them can print the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from weir_cli.data_dir import write_private
from weir_cli.errors import DemoError

DEMO_SLUG: Final = "demo"
DEMO_CLAUDE_SLUG: Final = "demo-claude"
DEMO_MODEL: Final = "gpt-4o-mini"
DEMO_APP: Final = "Demo"


class DemoState(msgspec.Struct, frozen=True, kw_only=True):
    """Kept in ``demo.json``, mode 0600: no other mode of Weir keeps a secret in the clear."""

    admin_token: str
    upstream_port: int
    upstream_key: str
    app_id: int | None = None
    credential: str | None = None


def load_demo_state(path: Path) -> DemoState | None:
    """What the last demo kept; None before the first.

    Raises:
        DemoError: The file was damaged.
    """
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=DemoState)
    except msgspec.DecodeError as error:
        raise DemoError(f"{path} is damaged ({error}); remove it to set the demo up anew") from error


def save_demo_state(path: Path, state: DemoState) -> None:
    """Replace the file in one step."""
    write_private(path, msgspec.json.format(msgspec.json.encode(state)) + b"\n")
