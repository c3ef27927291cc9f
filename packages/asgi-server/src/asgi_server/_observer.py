"""Hooks for metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

logger = logging.getLogger("asgi_server.server")


class Observer:
    """What a server tells about itself. Override what you want to count; every method here does nothing.

    The methods are called on the server's loop, in the middle of its work: they must be quick and must not
    wait. What they raise is logged and goes no further.

    >>> class Counter(Observer):
    ...     started = 0
    ...     def instance_started(self, scope_id):
    ...         self.started += 1
    """

    def instance_started(self, scope_id: Hashable) -> None:
        """An application instance was called for the scope."""

    def instance_ended(self, scope_id: Hashable, reason: str, seconds: float) -> None:
        """It ended after *seconds*. *reason*: "returned", "failed", "cancelled", or why it was told to go."""

    def instance_stuck(self, scope_id: Hashable, reason: str) -> None:
        """It was cancelled (*reason* says why) and has not ended within ``cancel_timeout``."""

    def message_dropped(self, scope_id: Hashable, scope: Any, message: Any, reason: str) -> None:
        """A message that no application instance received, and why. It is logged as well."""

    def handler_restarting(self, error: Exception, attempt: int, delay: float) -> None:
        """``handle()`` raised *error*; it starts again (for the *attempt*-th time) in *delay* seconds."""


def notify(observer: Observer | None, event: str, *details: Any) -> None:
    """Call one method of *observer*, if there is one, and survive it."""
    if observer is None:
        return
    try:
        getattr(observer, event)(*details)
    except Exception:
        logger.exception("%s.%s() failed", type(observer).__name__, event)
