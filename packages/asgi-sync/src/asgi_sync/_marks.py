"""Which callables count as coroutine functions."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction as iscoroutinefunction
    from inspect import markcoroutinefunction as markcoroutinefunction
else:
    iscoroutinefunction: Callable[[Any], bool] = vars(asyncio)[
        "iscoroutinefunction"
    ]  # deprecated in 3.14, not here

    def markcoroutinefunction(func: F) -> F:
        """Mark a callable so that `iscoroutinefunction` takes it for a coroutine function; returns it."""
        coroutines: Any = asyncio.coroutines
        marked: Any = func
        marked._is_coroutine = coroutines._is_coroutine
        return func


def _unmarked() -> None: ...


#: The attributes that `markcoroutinefunction` sets.
MARK: dict[str, object] = dict(vars(markcoroutinefunction(_unmarked)))
_MARKS = ("_is_coroutine_marker", "_is_coroutine_mark", "_is_coroutine")


def unmark(wrapper: object) -> None:
    """Remove a mark that came along with the attributes of the wrapped callable."""
    for mark in _MARKS:
        vars(wrapper).pop(mark, None)


def calls_coroutine(func: Any) -> bool:
    """Whether calling `func` gives a coroutine, as far as that can be told."""
    if type(func) is MethodType:
        func = func.__func__
    if type(func) is FunctionType:
        if func.__code__.co_flags & inspect.CO_COROUTINE:
            return True
        if not func.__dict__:
            return False  # nothing else could tell
    if iscoroutinefunction(func):
        return True
    # To call a class makes an instance, whatever calling that instance would do.
    return not inspect.isclass(func) and iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004 - not a test whether it is callable
