"""A plugin's output in the gateway's log: each line with the level that it says it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from weir_sdk import Logger

_LEVELS: Final = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
    "panic": "error",
}
# hclog's text form may begin with a time: ``2026-11-22T14:02:19.688Z [DEBUG] name: text``.
_BRACKETED: Final = re.compile(
    r"(?:\d{4}-\d\d-\d\dT\S+ )?\[(TRACE|DEBUG|INFO|WARN|ERROR)\]\s*(.*)", re.DOTALL
)
_PANIC: Final = ("panic: ", "fatal error: ", "Fatal Python error: ")
_TRACEBACK: Final = "Traceback (most recent call last):"
_MESSAGE_KEYS: Final = ("@message", "message", "msg")
_LEVEL_KEYS: Final = ("@level", "level")
_ENVELOPE: Final = frozenset((*_MESSAGE_KEYS, *_LEVEL_KEYS, "@timestamp", "time", "ts"))

_LINES_A_SECOND: Final = 200
_BURST_LINES: Final = 2000


class OutputLog:
    """Logs a plugin's lines: hclog and zerolog JSON, bracketed levels, panics, tracebacks; others as info.

    Beyond 200 lines a second for long, lines are counted instead.

    Args:
        logger: Marks what it logs with the plugin.
        monotonic: Seconds that only grow.
    """

    def __init__(self, logger: Logger, monotonic: Callable[[], float]) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._room = float(_BURST_LINES)
        self._refilled_at = monotonic()
        self._dropped = 0
        self._last = ""
        self._in_panic = False
        self._in_traceback = False

    @property
    def last_line(self) -> str:
        """The last line that was not empty; why a start failed is often in it."""
        return self._last

    def line(self, text: str) -> None:
        """Log one line."""
        if not text.strip():
            return
        self._last = text
        if not self._has_room():
            self._dropped += 1
            return
        if self._dropped:
            self._logger.warning("a plugin printed too much; lines were dropped", lines=self._dropped)
            self._dropped = 0
        level, message, values = self._read(text)
        getattr(self._logger, level)(message, **values)

    def _has_room(self) -> bool:
        now = self._monotonic()
        self._room = min(_BURST_LINES, self._room + (now - self._refilled_at) * _LINES_A_SECOND)
        self._refilled_at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def _read(self, text: str) -> tuple[str, str, dict[str, Any]]:
        if text.startswith("{") and (structured := _structured(text)) is not None:
            return structured
        if (bracketed := _BRACKETED.match(text)) is not None:
            return _LEVELS[bracketed[1].lower()], bracketed[2], {}
        return ("error" if self._is_crash(text) else "info"), text, {}

    def _is_crash(self, text: str) -> bool:
        """Whether a plain line is of a crash's report: all after a panic, a traceback to its last line."""
        if text.startswith(_PANIC):
            self._in_panic = True
        if text.startswith(_TRACEBACK):
            self._in_traceback = True
            return True
        if self._in_traceback:
            self._in_traceback = text.startswith(" ")
            return True
        return self._in_panic


def _structured(text: str) -> tuple[str, str, dict[str, Any]] | None:
    """Level, message and values of a line of JSON; None when it is none of the known kinds."""
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
    message = next((fields[key] for key in _MESSAGE_KEYS if key in fields), None)
    level = next((fields[key] for key in _LEVEL_KEYS if key in fields), "info")
    if not isinstance(message, str) or not isinstance(level, str):
        return None
    values = {key: value for key, value in fields.items() if key not in _ENVELOPE}
    return _LEVELS.get(level.lower(), "info"), message, values
