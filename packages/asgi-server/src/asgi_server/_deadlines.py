"""Many deadlines of the same length with one timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ._instance import Instance


class Deadlines:
    """Calls *expire* with each instance that is still here *seconds* after it was added.

    All wait equally long, so the order of arrival is the order of expiry and one ``call_at`` is enough:
    adding and discarding are O(1), where a timer for each instance would be O(log n) and leave cancelled
    timers in the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, expire: Callable[[Instance], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        # Keyed by id: an instance is a dict, so it has no hash.
        self._waiting: dict[int, tuple[float, Instance]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, instance: Instance) -> None:
        """Start the instance's time. It must not be here already."""
        deadline = self._loop.time() + self._seconds
        self._waiting[id(instance)] = deadline, instance
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._fire)

    def discard(self, instance: Instance) -> None:
        """Forget the instance if it is here."""
        self._waiting.pop(id(instance), None)

    def close(self) -> None:
        """Forget all of them."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting:
            deadline, instance = next(iter(self._waiting.values()))
            if deadline > now:
                break
            self.discard(instance)
            self._expire(instance)
        if self._waiting and self._timer is None:
            deadline, _ = next(iter(self._waiting.values()))
            self._timer = self._loop.call_at(deadline, self._fire)
