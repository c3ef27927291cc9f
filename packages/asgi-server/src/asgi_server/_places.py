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
    """At most ``max_applications`` instances have a place; the others start in the order of arrival.

    For everybody in the line somebody who has a place is made to leave, so the line moves: whoever leaves is
    gone after the grace period and ``cancel_timeout`` at the latest.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._line: deque[Instance] = deque()
        self._taken = 0
        self._leaving = 0  # of those who have a place
        self._no_line = asyncio.Event()
        self._no_line.set()

    @property
    def free(self) -> bool:
        """Whether a newcomer may start at once."""
        return not self._line and self._taken < self._pool.server.max_applications

    @property
    def line(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    def take(self, instance: Instance) -> None:
        """The instance is about to be called."""
        instance.has_place = True
        self._taken += 1
        notify(self._pool.options.observer, "instance_started", instance.scope_id)

    def leave(self, instance: Instance) -> None:
        """The instance is going to give its place back, if it has one."""
        if instance.has_place and not instance.leaves_place:
            instance.leaves_place = True
            self._leaving += 1

    def stay(self, instance: Instance) -> None:
        """The instance keeps its place after all."""
        if instance.leaves_place:
            instance.leaves_place = False
            self._leaving -= 1

    def give_back(self, instance: Instance) -> None:
        """The instance has ended or does not count any more; the next in the line may start."""
        if instance.has_place:
            instance.has_place = False
            self._taken -= 1
            if instance.leaves_place:
                instance.leaves_place = False
                self._leaving -= 1
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
                self._pool.starts(instance)
                instance.gate.set_result(None)
        if self._line:
            self._make_somebody_leave()
        else:
            self._no_line.set()

    def _make_somebody_leave(self) -> None:
        while self._leaving < len(self._line):
            oldest = self._pool.roster.oldest(with_place=True)
            if oldest is None:
                break
            self._pool.retire(oldest, "evicted")

    async def no_line(self) -> None:
        """Wait until nobody stands in the line."""
        while self._line:
            await self._no_line.wait()
