"""How long the host waits for plugins, and how much it lets them hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """All times in seconds.

    Attributes:
        start_s: For importing, constructing and ``initialize`` together.
        drain_s: How long a plugin that is to stop may finish calls in flight.
        linger_s: How long a plugin that nobody wants any more still serves requests that began before.
        stop_s: For ``shutdown``.
        cancel_grace_s: How long a handler may clean up once its deadline has passed.
        threads_per_plugin: Plain ``def`` handlers of one plugin that run at a time; as many again may hang
            before calls have to wait.
        first_retry_s: Pause after the first failed start; it doubles with each failure.
        longest_retry_s: Where the doubling ends.
        stable_s: A plugin that served this long before it was lost is started anew at once.
        ping_every_s: How often a plugin's process is asked whether it is well.
        ping_timeout_s: How long it may take to say so.
        silent_pings: Unanswered in a row, after which the process is killed.
        exit_s: How long a process may take to end once it has been asked to.
        memory_bytes: How much memory a plugin's process may have, with all that it has started; 0 is any.
        memory_every_s: How often that is looked at.
    """

    start_s: float = 30.0
    drain_s: float = 30.0
    linger_s: float = 300.0
    stop_s: float = 5.0
    cancel_grace_s: float = 1.0
    threads_per_plugin: int = 8
    first_retry_s: float = 1.0
    longest_retry_s: float = 60.0
    stable_s: float = 60.0
    ping_every_s: float = 5.0
    ping_timeout_s: float = 5.0
    silent_pings: int = 2
    exit_s: float = 2.0
    memory_bytes: int = 0
    memory_every_s: float = 1.0

    def retry_after(self, failures: int) -> float:
        """The pause after this many failed starts in a row."""
        return min(self.longest_retry_s, self.first_retry_s * 2.0 ** min(failures - 1, 30))
