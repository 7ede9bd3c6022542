"""``python -m weir_cli.mock_upstream --port 0 --log calls.jsonl`` prints its URL when it listens."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weir_cli.mock_upstream.app import Keys
from weir_cli.mock_upstream.behaviour import Behaviour, adjusted
from weir_cli.mock_upstream.errors import BehaviourError
from weir_cli.mock_upstream.process import DEFAULT_KEY
from weir_cli.mock_upstream.server import ServerSettings, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; 2 for wrong usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        behaviour = adjusted(Behaviour(), _given_behaviour(given))
    except BehaviourError as error:
        parser.error(str(error))
    settings = ServerSettings(
        host=given.host,
        port=given.port,
        uds=given.uds,
        log=given.log,
        keys=Keys(openai=given.openai_key, anthropic=given.anthropic_key),
        behaviour=behaviour,
        stop_with_stdin=given.stop_with_stdin,
    )
    serve(settings, lambda url: print(url, flush=True))  # noqa: T201 - the ready line is this program's output
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weir_cli.mock_upstream",
        description="Speak OpenAI and Anthropic without a model.",
        epilog="Behaviour flags are the fields of weir_cli.mock_upstream.Behaviour.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--uds", help="listen on this unix socket instead")
    parser.add_argument("--log", type=Path, required=True, help="the ledger, appended to")
    parser.add_argument("--openai-key", default=DEFAULT_KEY, help="the only key OpenAI calls may carry")
    parser.add_argument("--anthropic-key", default=DEFAULT_KEY, help="the only key Anthropic calls may carry")
    parser.add_argument(
        "--stop-with-stdin", action="store_true", help="stop when stdin ends, as when a parent dies"
    )
    behaviour = parser.add_argument_group("behaviour of every call, unless it asks for another")
    for field in Behaviour.__struct_fields__:
        behaviour.add_argument("--" + field.replace("_", "-"), metavar="VALUE")
    return parser


def _given_behaviour(given: argparse.Namespace) -> dict[str, Any]:
    flags = ((field, getattr(given, field)) for field in Behaviour.__struct_fields__)
    return {field: value for field, value in flags if value is not None}


if __name__ == "__main__":
    sys.exit(main())
