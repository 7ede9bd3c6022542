"""What a plugin can do wrong, as seen from the gateway.

| what happens                                            | error                  | retryable            |
|---------------------------------------------------------|------------------------|----------------------|
| its command is malformed                                | InvalidCommandError    | no                   |
| its command is of a kind that is not supported yet      | UnsupportedCommandError| no                   |
| it cannot be loaded, refuses its config, hangs starting | PluginStartError       | yes, with backoff    |
| it is starting, has failed, or is stopped               | PluginNotReadyError    | yes                  |
| a handler raises                                        | PluginCallError        | as the exception says|
| a handler is still at work when its deadline passes     | PluginTimeoutError     | yes                  |
| a handler answers what no handler may answer            | PluginProtocolError    | no                   |
| its process cannot take a message of that size          | PluginTooLargeError    | no                   |
| its process goes away in the middle of a call           | PluginLostError        | yes                  |

What a failure means for the call (refuse it, or go on without the plugin) is not decided in this room.
"""

from __future__ import annotations

from weir_core.errors import InvalidInputError, WeirError


class PluginError(WeirError):
    """Root of everything that goes wrong with a plugin at run time.

    Args:
        message: What happened, in the plugin's own words where it has any.
        unquoted: The same without a word of the plugin's, which may quote what it was shown; for places where
            no body may stand. The message itself where it is all ours.
    """

    def __init__(self, message: str, *, unquoted: str | None = None) -> None:
        super().__init__(message)
        self.unquoted = message if unquoted is None else unquoted


class PluginStartError(PluginError):
    """A plugin could not be brought up; it is tried again with growing pauses."""

    retryable = True


class PluginNotReadyError(PluginError):
    """A plugin cannot be called now; its state and reason say why."""

    retryable = True


class PluginLostError(PluginNotReadyError):
    """A plugin's process went away in the middle of a call, which may be what ended it."""


class PluginCallError(PluginError):
    """A handler raised; the cause is the handler's own exception.

    Args:
        message: Names the plugin, the handler and the exception.
        unquoted: The same without what the exception says.
        retryable: What the exception says of itself; yes where it says nothing.
    """

    def __init__(self, message: str, *, unquoted: str | None = None, retryable: bool = True) -> None:
        super().__init__(message, unquoted=unquoted)
        self.retryable = retryable


class PluginTimeoutError(PluginError):
    """A handler was not done at its deadline; what it still does has no effect on the call."""

    retryable = True


class PluginProtocolError(PluginError):
    """A handler answered what the gateway cannot use; mend the plugin."""


class PluginTooLargeError(PluginError):
    """A plugin's process cannot take a message of this size: most take four mebibytes, headers included."""


class InvalidCommandError(InvalidInputError):
    """A plugin's command that names nothing that could be started."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="command")


class UnsupportedCommandError(InvalidCommandError):
    """A command that is well formed, of a kind that this version cannot start."""

    code = "not_supported_yet"
