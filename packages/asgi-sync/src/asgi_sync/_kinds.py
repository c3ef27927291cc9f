"""What a callable makes when it is called: told once, when it is wrapped."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
from collections.abc import AsyncGenerator, Generator
from types import FunctionType, MethodType
from typing import Any, cast

from ._wrapping import function_of


class Kind(enum.Enum):
    """What calling it gives."""

    PLAIN = enum.auto()
    GENERATOR = enum.auto()
    ASYNC_GENERATOR = enum.auto()
    CONTEXT_MANAGER = enum.auto()
    ASYNC_CONTEXT_MANAGER = enum.auto()


_ANY_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _nothing() -> Any: ...


# All functions that one of these decorators makes share the code of one inner function.
_CONTEXT_MANAGER: Any = contextlib.contextmanager(_nothing).__code__
_ASYNC_CONTEXT_MANAGER: Any = contextlib.asynccontextmanager(_nothing).__code__


def is_generator(iterator: Any) -> bool:
    """Whether it can be closed and resumed with values, as generators and what is made to look like one."""
    return isinstance(iterator, Generator)


def is_async_generator(iterator: Any) -> bool:
    """The same for async generators."""
    return isinstance(iterator, AsyncGenerator)


def kind_of(func: Any) -> Kind:
    """Tell by the function itself, under partials, methods and `__call__`; decorators may hide it."""
    if type(func) is MethodType:
        func = func.__func__
    if type(func) is not FunctionType:
        func = _function_under(func)
    code = getattr(func, "__code__", None)
    if code is None:
        return Kind.PLAIN
    flags = code.co_flags
    if flags & _ANY_GENERATOR:
        return Kind.GENERATOR if flags & inspect.CO_GENERATOR else Kind.ASYNC_GENERATOR
    if code is _CONTEXT_MANAGER:
        return Kind.CONTEXT_MANAGER
    if code is _ASYNC_CONTEXT_MANAGER:
        return Kind.ASYNC_CONTEXT_MANAGER
    return Kind.PLAIN


def _function_under(func: Any) -> Any:
    func = function_of(func)
    while isinstance(func, functools.partial):
        func = func.func
    if not inspect.isroutine(func) and not inspect.isclass(func):
        func = getattr(cast("Any", type(func)), "__call__", func)  # noqa: B004 - not a test whether it is callable
    return func
