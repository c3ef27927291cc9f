"""The type of what a function that `sync_to_async` has wrapped gives when it is called. For type checkers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

R_co = TypeVar("R_co", covariant=True)
Y = TypeVar("Y")
S = TypeVar("S")
T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Generator
    from contextlib import _GeneratorContextManager
    from types import TracebackType

    class SyncCall(Coroutine[Any, Any, R_co]):
        """A coroutine; of a generator function an async generator too, of a `contextmanager` function an async
        context manager. The type of `self` says which.
        """

        def __aiter__(self: SyncCall[Generator[Y, S, Any]]) -> AsyncGenerator[Y, S]: ...
        async def __anext__(self: SyncCall[Generator[Y, Any, Any]]) -> Y: ...
        async def asend(self: SyncCall[Generator[Y, S, Any]], value: S, /) -> Y: ...
        async def athrow(
            self: SyncCall[Generator[Y, Any, Any]],
            typ: BaseException | type[BaseException],
            val: object = None,
            tb: TracebackType | None = None,
            /,
        ) -> Y: ...
        async def aclose(self: SyncCall[Generator[Any, Any, Any]]) -> None: ...
        async def __aenter__(self: SyncCall[_GeneratorContextManager[T]]) -> T: ...
        async def __aexit__(
            self: SyncCall[_GeneratorContextManager[Any]],
            exc_type: type[BaseException] | None,
            exc: BaseException | None,
            tb: TracebackType | None,
            /,
        ) -> bool | None: ...
