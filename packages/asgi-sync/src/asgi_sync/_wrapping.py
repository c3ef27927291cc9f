"""What both wrappers have in common: they look like what they wrap, and bind like a method."""

from __future__ import annotations

import functools
import sys
from typing import Any

from ._marks import unmark

_PACKAGE = __name__.rpartition(".")[0]


def adopt_metadata(wrapper: Any, wrapped: Any) -> None:
    """Give the wrapper the name, documentation, signature and attributes of the callable.

    To be called before the wrapper sets attributes of its own, which a callable may happen to have too.
    """
    functools.update_wrapper(wrapper, wrapped)
    unmark(wrapper)
    instance = getattr(wrapped, "__self__", None)
    if instance is not None:
        wrapper.__self__ = instance


def bind(wrapper: Any, wrapped: Any, instance: Any, owner: type | None) -> Any:
    """The wrapper as an attribute of an instance or class, by what the callable itself is."""
    if isinstance(wrapped, staticmethod):
        return wrapper
    if isinstance(wrapped, classmethod):
        instance = owner if owner is not None else type(instance)
    if instance is None:
        return wrapper
    bound = functools.update_wrapper(functools.partial(wrapper.__call__, instance), wrapper.__wrapped__)
    bound.__self__ = instance  # type: ignore[attr-defined]  # a partial takes any attribute
    return bound


def function_of(wrapped: Any) -> Any:
    """What to call: a classmethod or staticmethod is not always callable itself."""
    return wrapped.__func__ if isinstance(wrapped, (classmethod, staticmethod)) else wrapped


def callers_stacklevel() -> int:
    """For `warnings.warn` in the function that asks: the level of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    return level
