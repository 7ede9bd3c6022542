"""Why a real server is not there for a test."""

from __future__ import annotations


class ServerUnavailableError(Exception):
    """This machine cannot provide a server; the message says what it would need."""


class ServerFailedError(Exception):
    """A server was started and did not become ready; the message shows the end of its log."""
