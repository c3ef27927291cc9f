"""What to call callables, and the places where they run."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from typing import Any
from weakref import WeakKeyDictionary

from ._events import Place
from ._home import Home
from ._steps import Step

_PACKAGE = __name__.rpartition(".")[0]

#: Loops that events have told of, by the order in which they were seen.
_loops: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_numbers = itertools.count(1)


def name_of(func: Any, args: tuple[Any, ...] = ()) -> str:
    """The qualified name, with its module, of what the user would say is called.

    A step of an iterator or a context manager is a function of this package, with a callable that does the step among
    its arguments: a method of an object that knows what it steps through. The name is that of the latter.
    """
    while True:
        owner = getattr(func, "__self__", None)
        if isinstance(func, functools.partial):
            func, args = func.func, (*func.args, *args)
        elif owner is not None and _is_ours(type(owner)) and (inner := _inside(owner)) is not None:
            func, args = inner, ()
        elif _is_ours(func) and (carried := _carried(args)) is not None:
            func, args = carried
        else:
            return _qualified(func)


def _is_ours(thing: Any) -> bool:
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and module.startswith(f"{_PACKAGE}.")


def _inside(owner: Any) -> Any:
    for name in ("_iterable", "_manager"):
        inner = getattr(owner, name, None)
        if inner is not None:
            return inner
    return None


def _carried(args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]] | None:
    """The first callable among the arguments, and its own arguments, which follow as a tuple."""
    for index, each in enumerate(args):
        if isinstance(each, Step):
            return each.method, ()
        if callable(each):
            rest: Any = args[index + 1 :]
            return each, rest[0] if rest and type(rest[0]) is tuple else tuple(rest)
    return None


def _qualified(func: Any) -> str:
    if not hasattr(func, "__qualname__"):
        made_by = getattr(func, "func", None)  # of a context manager made from a generator function
        func = made_by if hasattr(made_by, "__qualname__") else func.__class__
    frame = getattr(func, "gi_frame", None) or getattr(func, "ag_frame", None)
    module = getattr(func, "__module__", None) or (
        frame.f_globals.get("__name__") if frame is not None else None
    )
    return f"{module}.{func.__qualname__}" if module else str(func.__qualname__)


def place_here(loop: asyncio.AbstractEventLoop | None = None) -> Place:
    """Where the caller runs; `loop` is the running loop, if there is one."""
    thread = threading.current_thread()
    if loop is None:
        return Place(threading.get_ident(), thread.name)
    task = asyncio.current_task(loop)
    return Place(
        threading.get_ident(), thread.name, loop_name(loop), None if task is None else task.get_name()
    )


def loop_name(loop: Any) -> str:
    """A loop's number and type. Its address would be taken by another one after it."""
    number = _loops.get(loop)
    if number is None:
        # Two threads cannot see a loop first: it runs in one.
        number = _loops[loop] = next(_numbers)
    return f"{number} {type(loop).__name__}"


def executor_name(place: Any) -> str:
    """What runs a sync call: one of our threads, or somebody's executor."""
    if place is None:
        return "the event loop's default executor"
    if isinstance(place, Home):
        return f"thread {place.thread.name}"
    prefix = getattr(place, "_thread_name_prefix", None)
    return f"{type(place).__qualname__} {prefix}" if prefix else type(place).__qualname__
