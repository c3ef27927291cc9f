"""A class of its own for each Local that is in use.

What a Local holds is found through a context variable or a ``threading.local``. To ask the Local which one
takes longer than all the rest of a read, so the first set moves the Local into a *lane*: a subclass whose
methods know theirs already. Lanes are used again: to make a class takes tens of microseconds.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._base import Local

# A lane weighs some kilobytes. Of those that are not kept the context variable is, because contexts do.
_LANES_KEPT = 64


class Store(Protocol):
    """Where the values of one lane are."""

    def empty(self) -> None:
        """Drop all values, of all threads and contexts."""

    def discard(self) -> None:
        """Be of no more use to this lane."""


class _Lane(NamedTuple):
    kind: type[Local]
    store: Store


class Lanes:
    """The lanes of one of the two kinds of Local.

    Args:
        base: the class of a Local that was never set.
        build: makes the store and the methods of a new lane.
    """

    def __init__(self, base: type[Local], build: Callable[[], tuple[Store, dict[str, Any]]]) -> None:
        self._base = base
        self._build = build
        # Finalisers put lanes here, on any thread and in the middle of anything: no lock, but a deque,
        # whose own operations are atomic.
        self._free: deque[_Lane] = deque()
        # What finalisers need must not be garbage itself: of a Local that goes in a cycle, the lane would
        # be part of the same garbage, and its weak references are dead by then.
        self._in_use: dict[int, _Lane] = {}
        self._make_lock()
        if hasattr(os, "register_at_fork"):
            # Another thread may hold the lock at the moment of the fork, and does not exist in the child.
            os.register_at_fork(after_in_child=self._make_lock)

    def _make_lock(self) -> None:
        # Re-entrant: a garbage collection inside may run a finaliser that sets an attribute of another Local.
        self._entering = threading.RLock()

    def enter(self, local: Local) -> None:
        """Move *local* into a lane, unless another thread was faster."""
        with self._entering:
            if type(local) is self._base:
                try:
                    lane = self._free.pop()
                except IndexError:
                    lane = self._make()
                self._in_use[id(lane.kind)] = lane
                object.__setattr__(local, "__class__", lane.kind)

    def _make(self) -> _Lane:
        store, methods = self._build()

        # What it needs is bound here: globals may be gone when the interpreter exits, when there is nothing to do.
        def leave(
            local: Local,
            kept: int = _LANES_KEPT,
            put: Any = object.__setattr__,
            is_exiting: Callable[[], bool] = sys.is_finalizing,
        ) -> None:
            if is_exiting():
                return
            # Another finaliser may still use the Local after this one: it starts afresh then, in another
            # lane.
            put(local, "__class__", self._base)
            store.empty()
            self._in_use.pop(id(lane.kind), None)
            if len(self._free) < kept:
                self._free.append(lane)
            else:
                store.discard()

        namespace = {
            "__slots__": (),
            "__module__": self._base.__module__,
            "__doc__": self._base.__doc__,
            "__del__": leave,
            **methods,
        }
        lane = _Lane(type("Local", (self._base,), namespace), store)
        return lane
