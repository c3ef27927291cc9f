"""A Local that never leaves its thread: ``threading.local`` in sync code, and per task as well in a task."""

from __future__ import annotations

import threading
from asyncio import _get_running_loop as running_loop
from typing import TYPE_CHECKING, Any

from ._base import RESERVED, Local, check_name, kinds, missing, plain_getattr
from ._lane import Lanes
from ._state import Cells, Held

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

    def put(self, held: Held) -> None:
        """Make *held* what the present task holds."""
        self.cell.track(held)
        self.cell.var.set(held)

    def __del__(self) -> None:
        self.cell.empty()
        self.cell.discard()


class _OfThread(threading.local):
    """What one thread holds for one Local."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.tasks: _OfTasks | None = None
        # Called with what to return if the present task holds nothing.
        self.in_task: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing

    def start_tasks(self) -> _OfTasks:
        """Make room for what tasks hold."""
        tasks = self.tasks = _OfTasks()
        self.in_task = tasks.get
        return tasks


def _nothing(default: Mapping[str, Any]) -> Mapping[str, Any]:
    return default


_EMPTY: dict[str, Any] = {}  # never written to


class _ThreadStore:
    """The values of one lane, in all threads."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self.empty = renew

    def discard(self) -> None:
        """There is nothing to keep."""


def _build() -> tuple[_ThreadStore, dict[str, Any]]:
    mine = _OfThread()

    def renew() -> None:
        nonlocal mine
        mine = _OfThread()

    def here() -> Mapping[str, Any]:
        return mine.held if running_loop() is None else mine.in_task(_EMPTY)

    def get_attribute(self: Local, name: str) -> Any:
        try:
            if running_loop() is None:
                return mine.held[name]
            return mine.in_task(_EMPTY)[name]
        except KeyError:
            pass
        return plain_getattr(self, name)

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        if running_loop() is None:
            mine.held[name] = value
        else:
            tasks = mine.tasks or mine.start_tasks()
            held = Held(tasks.get(_EMPTY))
            held[name] = value
            tasks.put(held)

    def delete_attribute(self: Local, name: str) -> None:
        if name not in here():
            missing(self, name)
        if running_loop() is None:
            del mine.held[name]
        else:
            tasks = mine.tasks or mine.start_tasks()
            held = Held(tasks.get(_EMPTY))
            del held[name]
            tasks.put(held)

    def values(_: Local) -> dict[str, Any]:
        return dict(here())

    return _ThreadStore(renew), {
        "__getattribute__": get_attribute,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }


_lanes = Lanes(ThreadCriticalLocal, _build)
