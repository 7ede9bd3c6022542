"""``ctx.services.logger`` of a plugin process: lines of hclog's JSON on standard error, which hosts read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_STDERR: Final = 2

Write = Callable[[bytes], None]
Now = Callable[[], datetime]


def write_stderr(line: bytes) -> None:
    """Write a line to standard error; lost without a trace when the host has gone."""
    try:
        os.write(_STDERR, line)
    except OSError:
        return


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class HclogLogger:
    """Writes a JSON object a line: ``@level``, ``@message``, ``@module``, ``@timestamp``, and the values."""

    def __init__(self, module: str, *, write: Write = write_stderr, clock: Now = now) -> None:
        self._module = module
        self._write = write
        self._clock = clock

    def debug(self, message: str, /, **values: Any) -> None:
        """For whoever debugs the plugin."""
        self._line("debug", message, values)

    def info(self, message: str, /, **values: Any) -> None:
        """What happened."""
        self._line("info", message, values)

    def warning(self, message: str, /, **values: Any) -> None:
        """What somebody should look at."""
        self._line("warn", message, values)

    def error(self, message: str, /, **values: Any) -> None:
        """What somebody must look at."""
        self._line("error", message, values)

    def _line(self, level: str, message: str, values: dict[str, Any]) -> None:
        head = {
            "@level": level,
            "@message": message,
            "@module": self._module,
            "@timestamp": self._clock().isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        try:
            line = msgspec.json.encode({**values, **head}, enc_hook=repr)
        except (TypeError, ValueError, RecursionError):  # no plugin should fail over what it logs
            line = msgspec.json.encode({**head, "@message": ascii(message), "values": ascii(values)})
        self._write(line + b"\n")
