"""The queue of one thread, which wakes that thread at a third of the price.

`queue.SimpleQueue` wakes its thread while whoever puts something in still has the GIL. The woken thread cannot go on
with that, goes back to sleep, and is woken again: on one core a call and its answer are six switches between threads. A
write to an eventfd lets go of the GIL first, and they are two. Only Linux has eventfds.
"""

from __future__ import annotations

import os
import select
import sysconfig
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

from ._state import process

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: So many times a thread goes to sleep before its queue gets a descriptor.
ARM_AFTER = 8
#: So many queues have one at the same time: a process may have a thousand threads, and descriptors for other things.
ARM_AT_MOST = 32
_CAN_ARM = hasattr(os, "eventfd") and not sysconfig.get_config_var("Py_GIL_DISABLED")

_write: Any = getattr(os, "eventfd_write", None)


class WorkQueue(Generic[T]):
    """A first in, first out queue that any thread puts into and one thread takes from."""

    __slots__ = (
        "__weakref__",
        "_epoll",
        "_fd",
        "_in_hurry",
        "_is_asleep",
        "_items",
        "_sleeps",
        "empty",
        "qsize",
    )

    def __init__(self) -> None:
        self._items: SimpleQueue[T] = SimpleQueue()
        self.empty: Callable[[], bool] = self._items.empty
        self.qsize: Callable[[], int] = self._items.qsize
        self._sleeps = 0
        self._fd: int | None = None
        self._epoll: Any = None
        self._in_hurry = True
        #: Whether the thread waits for its descriptor, or is about to.
        self._is_asleep = False

    def put(self, item: T, in_hurry: bool = True) -> None:
        """Add the item. From any thread, finalizers too.

        Whoever is not `in_hurry` has other things to do before the item's outcome is wanted, more to put in for one. It
        keeps the GIL, and the thread does all of that in one go.
        """
        # Order matters, without a lock: first the item, then the look at the flag; the thread first raises the flag,
        # then looks for items. One of both sees the other's work.
        self._items.put(item)
        self._in_hurry = in_hurry
        if self._is_asleep:
            _write(self._fd, 1)

    def get(self, timeout: float | None) -> T:
        """Take the next item; raise `queue.Empty` if there is none within `timeout` seconds. On the queue's thread."""
        epoll = self._epoll
        if epoll is None or not self._in_hurry:
            if _CAN_ARM and epoll is None and self.empty():
                self._sleeps += 1
                if self._sleeps == ARM_AFTER:
                    self._arm()
            return self._items.get(True, timeout)
        while self.empty():
            self._is_asleep = True
            try:
                if self.empty() and not epoll.poll(timeout):
                    raise Empty
            finally:
                self._is_asleep = False
            # It may have been woken for nothing, by somebody who had seen the flag before: once more.
        return self._items.get()

    def _arm(self) -> None:
        make_epoll: Any = getattr(select, "epoll", None)
        if make_epoll is None or len(_armed) >= ARM_AT_MOST:  # gevent takes it away
            return
        try:
            epoll = make_epoll()
            self._fd = os.eventfd(0, os.EFD_CLOEXEC)
            # Each write is an event of its own, so that nobody need read.
            epoll.register(self._fd, select.EPOLLIN | select.EPOLLET)
        except OSError:  # no more descriptors: it works without
            return
        self._epoll = epoll
        _armed.add(self)

    def disarm(self) -> None:
        """In the child of a fork: whoever waits for the parent's descriptor there takes what is the parent's."""
        self._epoll.close()
        self._epoll, self._is_asleep = None, False

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if self._fd is not None:
            _close(self._fd)


_armed: WeakSet[WorkQueue[Any]] = WeakSet()


def _disarm_inherited() -> None:
    for each in list(_armed):
        each.disarm()
    _armed.clear()


process.on_fork(_disarm_inherited)
