"""Await sync generator functions: what `sync_to_async` makes of them is iterated over from async code."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ._read_ahead import check_size
from ._sync_iterators import ThreadIterator
from ._sync_to_async import SyncToAsync

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Y = TypeVar("Y", covariant=True)
S = TypeVar("S", contravariant=True)


class GeneratorCall(ThreadIterator[Y, S], Coroutine[Any, Any, R], Generic[Y, S, R]):
    """A call of a wrapped generator function: iterate over it, or await the plain generator."""

    def __init__(self, generator: Any, call: Callable[[], Coroutine[Any, Any, R]], **options: Any) -> None:
        super().__init__(generator, **options)
        self._call: Any = call
        self._coroutine: Any = None

    def _awaited(self) -> Coroutine[Any, Any, R]:
        if self._coroutine is None:
            if self._has_begun:
                raise RuntimeError(f"{self!r} is being iterated over: it cannot be awaited as well")
            self._coroutine = self._call()
        return self._coroutine  # type: ignore[no-any-return]  # made by _call

    def _begin(self) -> None:
        if self._coroutine is not None:
            raise RuntimeError(f"{self!r} was awaited: iterate over the generator that it gave")
        super()._begin()

    def __await__(self) -> Generator[Any, Any, R]:
        return self._awaited().__await__()

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        return self._awaited().send(value)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """As of a coroutine."""
        error = typ if val is None else val
        return self._awaited().throw(error if tb is None else error.with_traceback(tb))

    def close(self) -> None:
        """As of a coroutine; the generator is closed with `aclose`."""
        if self._coroutine is not None:
            self._coroutine.close()


class GeneratorToAsync(SyncToAsync[P, Any]):
    """A sync generator function whose calls are iterated over from async code."""

    def __init__(self, func: Callable[P, Any], *, max_buffer_size: int = 0, **options: Any) -> None:
        super().__init__(func, **options)
        if self.context is not None:
            raise TypeError(
                "context must not be set for a generator function: its body has a context for its life"
            )
        check_size(max_buffer_size)
        self._options: Any = {
            "thread_sensitive": self._thread_sensitive,
            "executor": self._executor,
            "abandon_on_cancel": self._abandon_on_cancel,
            "max_buffer_size": max_buffer_size,
        }

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Make the generator, of which nothing runs yet: iterate over what this returns with `async for`."""
        __traceback_hide__ = True
        call = super().__call__
        made: Any = self.func(*args, **kwargs)
        return GeneratorCall[Any, Any, Any](made, lambda: call(*args, **kwargs), **self._options)
