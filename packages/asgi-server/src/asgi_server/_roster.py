"""Who is listed in ``application_instances``, in the order of their last use."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from ._instance import Instance


class Roster:
    """The listed instances. Everything is O(1) in their number.

    Least recently used first. Apart are those in the middle of a send, because they are the last to be
    evicted, and those that wait for a place, because their eviction frees none.
    """

    def __init__(self, idle_timeout: float | None, expire: Callable[[Instance], None]) -> None:
        # A plain dict, because it is public; the order is kept beside it (a dict that is used as a queue
        # grows).
        self.instances: dict[Hashable, Any] = {}
        self._resting: OrderedDict[Hashable, Instance] = OrderedDict()
        self._senders: dict[Hashable, Instance] = {}
        self._waiting: OrderedDict[Hashable, Instance] = OrderedDict()
        self._idle_timeout = idle_timeout
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Instance]:
        yield from list(self._resting.values())
        yield from list(self._waiting.values())
        yield from list(self._senders.values())

    def clear(self) -> None:
        """Forget everybody; for a new event loop."""
        self.instances.clear()
        self._resting.clear()
        self._senders.clear()
        self._waiting.clear()
        self._timer = None

    def add(self, instance: Instance) -> None:
        """List it as the most recently used."""
        self.instances[instance.scope_id] = instance
        if not instance.has_place:
            self._waiting[instance.scope_id] = instance
        elif instance.sending:
            self._senders[instance.scope_id] = instance
        else:
            self._resting[instance.scope_id] = instance
        if self._idle_timeout is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_timeout, self._look_for_idle)

    def remove(self, instance: Instance) -> bool:
        """Take it out; returns whether it was listed."""
        scope_id = instance.scope_id
        if self.instances.get(scope_id) is instance:
            del self.instances[scope_id]
        for listed in (self._resting, self._waiting, self._senders):
            if listed.get(scope_id) is instance:
                del listed[scope_id]
                return True
        return False

    def starts(self, instance: Instance) -> None:
        """It has a place now."""
        if self._waiting.get(instance.scope_id) is instance:
            del self._waiting[instance.scope_id]
            self._resting[instance.scope_id] = instance
            self.touch(instance)

    def touch(self, instance: Instance) -> None:
        """It was used just now."""
        instance["last_used"] = time.time()
        if self._idle_timeout is not None:
            instance.touched = time.monotonic()
        try:
            self._resting.move_to_end(instance.scope_id)
        except KeyError:
            if instance.scope_id in self._waiting:
                self._waiting.move_to_end(instance.scope_id)

    def begin_sending(self, instance: Instance) -> None:
        """It is in use until :meth:`end_sending`."""
        if self._resting.get(instance.scope_id) is instance:
            del self._resting[instance.scope_id]
            self._senders[instance.scope_id] = instance

    def end_sending(self, instance: Instance) -> None:
        """Its last send has returned."""
        if self._senders.get(instance.scope_id) is instance:
            del self._senders[instance.scope_id]
            self._resting[instance.scope_id] = instance
            self.touch(instance)

    def oldest(self, *, with_place: bool = False) -> Instance | None:
        """Who is to be evicted next, or None if there is nobody. Who was taken out by hand is skipped."""
        for listed in (
            (self._resting, self._senders) if with_place else (self._resting, self._waiting, self._senders)
        ):
            while listed:
                scope_id, instance = next(iter(listed.items()))
                entry: object = self.instances.get(scope_id)
                if entry is instance:
                    return instance
                del listed[scope_id]
        return None

    def foreign(self) -> list[tuple[Hashable, Any]]:
        """The entries of ``instances`` that were put there by hand."""
        if len(self.instances) == len(self._resting) + len(self._waiting) + len(self._senders):
            return []
        own = {id(instance) for instance in self}
        return [(scope_id, entry) for scope_id, entry in self.instances.items() if id(entry) not in own]

    def _look_for_idle(self) -> None:
        assert self._idle_timeout is not None
        self._timer = None
        now = time.monotonic()
        while self._resting:
            instance = next(iter(self._resting.values()))
            if instance.touched + self._idle_timeout > now:
                break
            if instance.idle:
                self._expire(instance)
            else:
                # It works on a message for longer than idle_timeout: that is not idle.
                self.touch(instance)
        if self._resting:
            delay = next(iter(self._resting.values())).touched + self._idle_timeout - now
        elif self._senders or self._waiting:
            delay = self._idle_timeout
        else:
            return
        self._timer = asyncio.get_running_loop().call_later(delay, self._look_for_idle)
