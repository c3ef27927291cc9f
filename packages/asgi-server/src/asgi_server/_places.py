"""The places for running applications, and the line of instances that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ._observer import notify

if TYPE_CHECKING:
    from ._instance import Instance
    from ._pool import Pool


class Places:
    """At most ``max_applications`` instances have a place; the others start in the order of arrival."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._line: deque[Instance] = deque()
        self._taken = 0
        self._no_line = asyncio.Event()
        self._no_line.set()

    @property
    def free(self) -> bool:
        """Whether a newcomer may start at once."""
        return not self._line and self._taken < self._pool.server.max_applications

    def take(self, instance: Instance) -> None:
        """The instance is about to be called."""
        instance.counted = True
        self._taken += 1
        notify(self._pool.options.observer, "instance_started", instance.scope_id)

    def give_back(self, instance: Instance) -> None:
        """The instance has ended or does not count any more; the next in the line may start."""
        if instance.counted:
            instance.counted = False
            self._taken -= 1
        if self._line:
            self._call_next()

    def queue(self, instance: Instance) -> None:
        """The instance starts when its turn comes: then its gate is opened."""
        self._line.append(instance)
        self._no_line.clear()
        self._call_next()

    def _call_next(self) -> None:
        while self._line and self._taken < self._pool.server.max_applications:
            instance = self._line.popleft()
            if instance.gate is not None and not instance.gate.done() and not instance.task.done():
                self.take(instance)
                instance.gate.set_result(None)
        if not self._line:
            self._no_line.set()

    async def no_line(self) -> None:
        """Wait until nobody stands in the line. It ends: grace period and ``cancel_timeout`` free places."""
        while self._line:
            await self._no_line.wait()
