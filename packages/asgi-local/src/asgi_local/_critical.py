"""A Local that never leaves its thread: ``threading.local`` in sync code, and per task as well in a task."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop as running_loop
from typing import TYPE_CHECKING, Any

from ._base import RESERVED, Local, check_name, kinds, missing
from ._lane import Lanes
from ._stand_in import answer_for
from ._state import Cells, State

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
    """What the tasks of one thread hold; goes with the thread or with the Local, whichever ends first."""

    __slots__ = ("cell", "get")

    def __init__(self) -> None:
        self.cell = _cells.borrow()
        self.get = self.cell.var.get

    def put(self, held: State) -> None:
        """Make *held* what the present task holds."""
        self.cell.track(held)
        self.cell.var.set(held)

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
    # Of a thread: held, what its sync code set; tasks, an _OfTasks, and in_task, its get. Not a subclass: that
    # would take a third longer to read.
    mine = threading.local()

    def renew() -> None:
        nonlocal mine
        mine = threading.local()

    def state(values: Mapping[str, Any] = _EMPTY) -> State:
        made = State(values)
        made.__missing__ = look_further
        return made

    def here() -> State:
        try:
            held: State = mine.held if running_loop() is None else mine.in_task(nothing)
        except AttributeError:  # nothing was set on this thread
            return nothing
        return held

    def get_attribute(_: Local, name: str) -> Any:
        # As in here(): a call would cost a third of it all.
        try:
            held = mine.held if running_loop() is None else mine.in_task(nothing)
        except AttributeError:
            held = nothing
        return held[name]

    def put_in_task(held: State) -> None:
        try:
            tasks = mine.tasks
        except AttributeError:
            tasks = mine.tasks = _OfTasks()
            mine.in_task = tasks.get
        tasks.put(held)

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        if running_loop() is None:
            try:
                held = mine.held
            except AttributeError:
                held = mine.held = state()
            held[name] = value
        else:
            held = state(here())
            held[name] = value
            put_in_task(held)

    def delete_attribute(self: Local, name: str) -> None:
        held = here()
        if name not in held:
            missing(self, name)
        if running_loop() is None:
            del held[name]
        else:
            held = state(held)
            del held[name]
            put_in_task(held)

    def values(_: Local) -> dict[str, Any]:
        return dict(here())

    methods = {
        "__getattribute__": get_attribute,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
    look_further = answer_for(methods)
    nothing = state()
    return _ThreadStore(renew), methods


_lanes = Lanes(ThreadCriticalLocal, _build)
