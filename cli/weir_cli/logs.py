"""One log for all processes: each writes whole lines to the same standard error, with its role and pid."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from weir_cli.log_repeats import Repeats
from weir_core.clock import SystemClock

# They tell at INFO what the supervisor and the roles already say.
_CHATTY: Final = (
    "alembic",
    "asyncio",
    "elastic_transport",
    "faust",
    "httpcore2",
    "httpx2",
    "mode",
    "uvicorn",
    "weir_streams.windows.faust_reader",  # Faust's own lines, under the name of its subclasses' module
)
# Each consumer says several times a second that the brokers are away: gigabytes in an outage of hours.
_REPETITIVE: Final = ("aiokafka",)
_REPEATED_EVERY_S: Final = 30.0


def configure_logs(
    log_format: Literal["console", "json"], level: str, role: str, *, stream: TextIO | None = None
) -> None:
    """Send structlog and the standard library's loggers (uvicorn's, plugins') to ``stream``.

    Args:
        log_format: ``console`` for people, ``json`` for one object a line.
        level: The least severity that is written.
        role: Stands in every line, with this process's pid.
        stream: Standard error when None.
    """
    stream = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _stamp(role, os.getpid()),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(Repeats(_REPETITIVE, _REPEATED_EVERY_S, SystemClock().monotonic))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(log_format, colours=stream.isatty()),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING) if number > logging.DEBUG else number)


def _stamp(role: str, pid: int) -> Processor:
    def stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["role"] = role
        event["pid"] = pid
        return event

    return stamp


def _rendering(log_format: str, *, colours: bool) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    # A traceback with local variables would show secrets.
    return [
        structlog.dev.ConsoleRenderer(
            colors=colours, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _json(event: dict[str, Any], **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
