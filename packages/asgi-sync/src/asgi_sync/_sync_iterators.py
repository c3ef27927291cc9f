"""Iterate over sync iterators from async code: what iterates runs on one thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ._kinds import is_generator
from ._read_ahead import ReadAheadFromThread, check_size
from ._thread_lane import ThreadLane

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from types import TracebackType

Y = TypeVar("Y", covariant=True)
S = TypeVar("S", contravariant=True)

#: What a step returns that found the end.
END: Any = object()


class Body:
    """A sync iterator, on its thread."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable: Any = iterable
        self._iterator: Any = None
        self.has_ended = False
        #: What it raised and nobody has heard of yet.
        self._unheard: BaseException | None = None

    def __repr__(self) -> str:
        return repr(self._iterable)

    def resume(self, method: str, value: Any) -> Any:
        """The next item, or `END`."""
        __traceback_hide__ = True
        if self.has_ended:
            return END
        try:
            if self._iterator is None:
                self._iterator = iter(self._iterable)
            if method == "send" and value is None:
                return next(self._iterator)
            return getattr(self._generator(method), method)(value)
        except StopIteration:
            self.has_ended = True
            return END
        except BaseException as error:
            self.has_ended = is_generator(self._iterator)
            if isinstance(error, StopAsyncIteration):
                # Which would look like the end; async generators have it so (PEP 525).
                error = _chained(RuntimeError("the sync iterator raised StopAsyncIteration"), error)
            self._unheard = error
            try:
                raise error
            finally:
                del error, self
        finally:
            del value

    def _generator(self, method: str) -> Any:
        if not is_generator(self._iterator):
            raise TypeError(f"cannot {method} into {self._iterator!r}: it is not a generator")
        return self._iterator

    def heard(self) -> None:
        """Its exception has arrived."""
        self._unheard = None

    def close(self) -> None:
        """Close it if it is a generator. Once: does nothing the second time."""
        iterator, self._iterator = self._iterator, None
        unheard, self._unheard = self._unheard, None
        self.has_ended = True
        try:
            if is_generator(iterator):
                iterator.close()
            if unheard is not None:
                raise unheard
        finally:
            del unheard, self


def _chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


class ThreadIterator(AsyncGenerator[Y, S]):
    """What iterates over a sync iterator from async code. An async generator to whoever uses it.

    As with every async generator, cancelling the task that waits for an item ends it.
    """

    def __init__(
        self,
        iterable: Iterable[Y],
        *,
        thread_sensitive: bool,
        executor: Executor | None,
        abandon_on_cancel: bool,
        max_buffer_size: int,
    ) -> None:
        self._body = Body(iterable)
        self._lane = ThreadLane(thread_sensitive, executor, abandon_on_cancel)
        self._ahead = (
            ReadAheadFromThread(self._lane, self._body, max_buffer_size) if max_buffer_size else None
        )
        self._has_begun = False
        self._is_running = False
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "running" if self._is_running else "open"
        return f"<{type(self).__name__} of {self._body!r}, {state}>"

    async def __anext__(self) -> Y:
        __traceback_hide__ = True
        return await self._resume("send", None)  # type: ignore[no-any-return]  # Y, by the iterable

    async def asend(self, value: S) -> Y:
        """Resume the generator with `value` and return the next item."""
        __traceback_hide__ = True
        return await self._resume("send", value)  # type: ignore[no-any-return]  # Y, by the iterable

    async def athrow(
        self,
        typ: BaseException | type[BaseException],
        val: object = None,
        tb: TracebackType | None = None,
    ) -> Y:
        """Raise an exception in the generator, where it waits, and return the next item."""
        __traceback_hide__ = True
        error: Any = typ
        if isinstance(typ, type):
            error = val if isinstance(val, typ) else typ() if val is None else typ(val)
        if tb is not None:
            error = error.with_traceback(tb)
        try:
            return await self._resume("throw", error)  # type: ignore[no-any-return]  # Y, by the iterable
        finally:
            del error, typ, val, self

    async def _resume(self, method: str, value: Any) -> Any:
        __traceback_hide__ = True
        if self._is_running:
            raise RuntimeError(f"{self!r} is already running: one task at a time can iterate")
        if self._is_closed:
            raise StopAsyncIteration
        if not self._has_begun:
            self._begin()
        self._is_running = True
        try:
            if self._ahead is not None:
                item = await self._ahead.next(method, value)
            else:
                item = await self._lane.run(self._body.resume, method, value)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not self._body.has_ended:
                self._is_closed = True
                await self._close_cancelled()
            else:
                self._body.heard()
                if self._body.has_ended:
                    self._end()
            raise
        finally:
            self._is_running = False
            del value  # what was thrown: its traceback holds this frame
        if item is END:
            self._end()
            raise StopAsyncIteration
        return item

    def _begin(self) -> None:
        self._has_begun = True
        # As async generators do: the event loop closes those that are still open when it ends.
        hook = sys.get_asyncgen_hooks().firstiter
        if hook is not None:
            hook(self)

    def _end(self) -> None:
        self._is_closed = True
        self._lane.release()

    async def _close_cancelled(self) -> None:
        self._stop_reading_ahead()
        try:
            if self._lane.abandon_on_cancel:
                self._lane.order(self._body.close)
            else:
                await self._lane.run_in_any_case(self._body.close)
        finally:
            self._lane.release()

    def _stop_reading_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.stop()

    async def aclose(self) -> None:
        """Close the iterator's generator, on its thread. Waits until that is done."""
        __traceback_hide__ = True
        if self._is_running:
            raise RuntimeError(f"{self!r} is running: it cannot be closed now")
        if self._is_closed:
            return
        self._is_closed = True
        if not self._has_begun:
            return
        self._stop_reading_ahead()
        try:
            await self._lane.run_in_any_case(self._body.close)
        finally:
            self._lane.release()

    def __del__(self) -> None:
        if self.__dict__.get("_has_begun") and not self._is_closed and not self._lane.is_inherited:
            self._stop_reading_ahead()
            self._lane.order(self._body.close)
            self._lane.release()


def sync_to_async_iterator(
    iterable: Iterable[Y],
    *,
    thread_sensitive: bool = True,
    executor: Executor | None = None,
    abandon_on_cancel: bool = True,
    max_buffer_size: int = 0,
) -> AsyncGenerator[Y, Any]:
    """Iterate over a sync iterable from async code.

    All of its code runs on one thread, beginning with `iter(iterable)`, and nothing before the first item is
    asked for. Leaving early closes a generator on that thread: with `aclose()` or `contextlib.aclosing` at
    once, else when the iterator is garbage collected or the event loop shuts down. Iterators of other kinds
    are left as they are.

    Args:
        iterable: A generator or any other iterable.
        thread_sensitive: As in `sync_to_async`. With `False` it has a thread of its own, or of the
            executor's, for as long as it is open.
        executor: As in `sync_to_async`, with `thread_sensitive=False`.
        abandon_on_cancel: As in `sync_to_async`. In both cases cancelling ends the iteration.
        max_buffer_size: Let the iterable run ahead by so many items at most, which costs far less for each
            than a crossing of its own. 0 runs nothing that was not asked for.

    Returns:
        An async generator. Without a buffer the iterable's code sees the context variables of whoever asks
        for an item, and what it sets comes back with the item; with one it sees those of the moment when
        iteration began, and what it sets stays with it. `asend` and `athrow` work for generators, without a
        buffer.

    Raises:
        TypeError: If `iterable` is none, or `max_buffer_size` no number.
        ValueError: If `max_buffer_size` is negative.

    >>> import asyncio
    >>> from asgi_sync import sync_to_async_iterator
    >>> async def main():
    ...     async for line in sync_to_async_iterator(iter(["one", "two"])):
    ...         print(line)
    >>> asyncio.run(main())
    one
    two
    """
    if not hasattr(type(iterable), "__iter__") and not hasattr(type(iterable), "__getitem__"):
        raise TypeError(f"sync_to_async_iterator takes an iterable, not {iterable!r}")
    if thread_sensitive and executor is not None:
        raise TypeError("executor must not be set when thread_sensitive is True")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    check_size(max_buffer_size)
    return ThreadIterator(
        iterable,
        thread_sensitive=thread_sensitive,
        executor=executor,
        abandon_on_cancel=abandon_on_cancel,
        max_buffer_size=max_buffer_size,
    )
