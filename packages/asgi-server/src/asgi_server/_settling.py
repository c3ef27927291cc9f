"""The end of a message: handled, failed or dropped, and who is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ._inbox import Tracked
from ._observer import notify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._inbox import Outcome
    from ._instance import Instance

logger = logging.getLogger("asgi_server.server")


def settle(item: Tracked, outcome: Outcome) -> None:
    """Tell the sender of one message what became of it."""
    if item.on_settled is None:
        return
    try:
        item.on_settled(outcome)
    except Exception:
        logger.exception("on_settled(%r) failed", outcome)


def without_final_event(items: Iterable[Any]) -> list[Any]:
    """The messages among *items*: the final event of an instance is for that instance alone."""
    return [item for item in items if not (type(item) is Tracked and item.final)]


def drop(instance: Instance, items: Iterable[Any], reason: str) -> None:
    """Report messages that nobody will receive: to the log, to the observer and to their senders."""
    items = without_final_event(items)
    if not items:
        return
    observer = instance.pool.options.observer
    logger.warning("dropped %d message(s) of scope %r: %s", len(items), instance.scope_id, reason)
    for item in items:
        tracked = type(item) is Tracked
        message = item.message if tracked else item
        notify(observer, "message_dropped", instance.scope_id, instance["scope"], message, reason)
        if tracked:
            settle(item, "dropped")
