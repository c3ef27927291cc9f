"""What is to be done in one step of something that is resumed on one thread, or in one task."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Step:
    """A function and its arguments, on the way to where it is called.

    It forgets them when they are taken: an exception that is thrown into a generator would be in a cycle with the
    frames that it goes through, if those still led to the arguments.
    """

    __slots__ = ("_args", "_func", "method")

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._func: Any = func
        self._args: Any = args
        #: For whoever names it; lasts.
        self.method: Callable[..., Any] = func.func if isinstance(func, functools.partial) else func

    def take(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The function and its arguments. Once."""
        taken = self._func, self._args
        self._func = self._args = None
        return taken
