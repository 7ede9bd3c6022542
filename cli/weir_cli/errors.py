"""What can stop the ``weir`` command before or while it serves."""

from __future__ import annotations

from weir_core.errors import WeirError


class CliError(WeirError):
    """Root of the command's errors; ``weir`` prints the message and exits 1."""


class DataDirError(CliError):
    """The data directory cannot be used as it is."""


class DataDirInUseError(DataDirError):
    """Another ``weir serve`` serves this data directory."""

    retryable = True


class ListenError(CliError):
    """The address cannot be listened on."""

    retryable = True


class DemoError(CliError):
    """The demo's objects could not be set up."""


class NoDatabaseError(CliError):
    """A command needs the database of a gateway that was never started."""


class KeyRotationError(CliError):
    """A step of ``weir keys rotate`` cannot be taken yet."""


class PluginNotStartedError(CliError):
    """A plugin could not be started."""


class NotRecordedError(CliError):
    """A file holds something else than recorded events and calls."""


class ScaffoldError(CliError):
    """A new plugin cannot be written."""
