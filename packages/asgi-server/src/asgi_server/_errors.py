"""The errors that a server raises to those who use it."""

from __future__ import annotations


class ServerClosedError(RuntimeError):
    """The server is not running, or is shutting down, and takes no message."""


class ScopeBlockedError(RuntimeError):
    """The last instance of the scope ignores its cancellation, so no new one may start."""


class InstanceClosedError(RuntimeError):
    """An application asked for a message after its instance was cancelled."""


class LifespanError(RuntimeError):
    """The application said that its startup or shutdown failed."""
