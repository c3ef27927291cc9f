"""A Local that never leaves its thread: ``threading.local`` in sync code, and per task as well in a task."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop as running_loop
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ._base import RESERVED, Local, check_name, kinds, missing
from ._lane import Lanes
from ._stand_in import answer_for
from ._state import ONLY_MINE, Cells, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ThreadCriticalLocal(Local):  # type: ignore[misc]  # final is for users
    """The class of a ``Local(thread_critical=True)`` that was never set; a lane is a subclass of it."""

    __slots__ = ("__weakref__",)

    def __setattr__(self, name: str, value: Any) -> None:
        check_name(self, name)
        _lanes.enter(self)
        setattr(self, name, value)

    def __delattr__(self, name: str) -> None:
        missing(self, name)

    def __asgi_local_values__(self) -> dict[str, Any]:
        return {}


ThreadCriticalLocal.__name__ = "Local"
kinds[True] = ThreadCriticalLocal


_cells = Cells()


class _OfTasks:
    """What the tasks of one thread hold; goes with the thread or with the Local, whichever ends first.

    A context holds a State as its bound ``__getitem__``, a new one for each set. Contexts are copied without
    any notice to us, but a copy holds the same: as long as that is in no other context, the State may be changed.
    """

    __slots__ = ("cell", "get", "put")

    def __init__(self) -> None:
        self.cell = _cells.borrow()
        self.get = self.cell.var.get
        self.put = self.cell.var.set

    def __del__(self) -> None:
        self.cell.empty()
        self.cell.discard()


_EMPTY: dict[str, Any] = {}  # never written to


class _ThreadStore:
    """The values of one lane, in all threads."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self.empty = renew

    def discard(self) -> None:
        """There is nothing to keep."""


def _build() -> tuple[_ThreadStore, dict[str, Any]]:
    # Of a thread: held, what its sync code set, and read, its __getitem__; tasks, an _OfTasks, and in_task, its get.
    # Not a subclass: that would take a third longer to read.
    mine = threading.local()

    def renew() -> None:
        nonlocal mine
        mine = threading.local()

    def state(values: Mapping[str, Any] = _EMPTY) -> State:
        made = State(values)
        made.__missing__ = look_further
        return made

    def reader() -> Any:
        try:
            return mine.read if running_loop() is None else mine.in_task(read_nothing)
        except AttributeError:  # nothing was set on this thread
            return read_nothing

    def get_attribute(_: Local, name: str) -> Any:
        # As in reader(): a call would cost a third of it all.
        try:
            read = mine.read if running_loop() is None else mine.in_task(read_nothing)
        except AttributeError:
            read = read_nothing
        return read(name)

    def held_by_task(read: Any) -> State:
        """Return a State that the present task may change: the one of *read*, or a copy of it."""
        try:
            tasks = mine.tasks
        except AttributeError:
            tasks = _OfTasks()
            mine.in_task = tasks.get
            mine.tasks = tasks  # last: Ctrl-C in between must not leave the one without the other
        held: State = read.__self__
        # One that is empty may be left from a Local that has gone, and look further in another lane.
        if held:
            tasks.put(held.__getitem__)
            if getrefcount(read) == ONLY_MINE:
                return held
        held = state(held)
        tasks.cell.track(held)
        tasks.put(held.__getitem__)
        return held

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        if running_loop() is None:
            try:
                held = mine.held
            except AttributeError:
                held = state()
                mine.read = held.__getitem__
                mine.held = held  # last, as tasks
            held[name] = value
        else:
            held_by_task(reader())[name] = value

    def delete_attribute(self: Local, name: str) -> None:
        if name not in reader().__self__:
            missing(self, name)
        del (mine.held if running_loop() is None else held_by_task(reader()))[name]

    def values(_: Local) -> dict[str, Any]:
        return dict(reader().__self__)

    methods = {
        "__getattribute__": get_attribute,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
    look_further = answer_for(methods)
    read_nothing = state().__getitem__
    return _ThreadStore(renew), methods


_lanes = Lanes(ThreadCriticalLocal, _build)
