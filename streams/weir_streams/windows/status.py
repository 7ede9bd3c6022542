"""What the streams app has done since its process started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StreamsStatus:
    """Counts of events, windows and alerts; ``lag`` is in events, None while it is not known."""

    added: int = 0
    repeated: int = 0
    late: int = 0
    undecodable: int = 0
    published: int = 0
    alerts: int = 0
    posted: int = 0
    post_failures: int = 0
    alerts_given_up: int = 0
    lag: int | None = None
    caught_up: bool = False
    stalled: str | None = None
    last_error: str | None = None
