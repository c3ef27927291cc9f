"""Iterate over async iterators from sync code: what iterates runs in one task."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ._async_to_sync import AsyncToSync
from ._hosts import LoopGoneError
from ._kinds import is_async_generator
from ._read_ahead import check_size
from ._read_ahead_in_task import ReadAheadInTask
from ._sync_iterators import END
from ._task_lane import TaskLane

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from ._hosts import Host

P = ParamSpec("P")
Y = TypeVar("Y", covariant=True)
S = TypeVar("S", contravariant=True)


class AsyncBody:
    """An async iterator, in its task."""

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterable: Any = iterable
        self._iterator: Any = None
        self.has_ended = False

    def __repr__(self) -> str:
        return repr(self._iterable)

    async def resume(self, method: str, value: Any) -> Any:
        """The next item, or `END`."""
        __traceback_hide__ = True
        if self.has_ended:
            return END
        try:
            if self._iterator is None:
                self._iterator = aiter(self._iterable)
            if method == "send" and value is None:
                return await anext(self._iterator)
            return await getattr(self._generator(method), f"a{method}")(value)
        except StopAsyncIteration:
            self.has_ended = True
            return END
        except BaseException:
            self.has_ended = is_async_generator(self._iterator)
            raise
        finally:
            del value

    def _generator(self, method: str) -> Any:
        if not is_async_generator(self._iterator):
            raise TypeError(f"cannot {method} into {self._iterator!r}: it is not an async generator")
        return self._iterator

    async def close(self) -> None:
        """Close it if it is a generator. Once: does nothing the second time."""
        iterator, self._iterator = self._iterator, None
        if is_async_generator(iterator) and not self.has_ended:
            try:
                await iterator.aclose()
            finally:
                self.has_ended = True
        self.has_ended = True

    async def interrupt(self, cancelled: asyncio.CancelledError) -> Any:
        """The task was cancelled while the iterator was suspended: that is where it has to arrive."""
        try:
            if is_async_generator(self._iterator) and not self.has_ended:
                await self._iterator.athrow(cancelled)
                await self._iterator.aclose()
            raise cancelled
        except StopAsyncIteration:
            return END
        finally:
            self.has_ended = True
            del cancelled


class TaskIterator(Generator[Y, S, None]):
    """What iterates over an async iterator from sync code. A generator to whoever uses it."""

    def __init__(self, iterable: AsyncIterable[Y], max_buffer_size: int, host: Host | None) -> None:
        self._body = body = AsyncBody(iterable)
        self._lane = TaskLane(host, lambda: body.has_ended, body.interrupt)
        self._ahead = ReadAheadInTask(self._lane, body, max_buffer_size) if max_buffer_size else None
        self._turn = threading.Lock()
        self._has_begun = False
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "running" if self._turn.locked() else "open"
        return f"<{type(self).__name__} of {self._body!r}, {state}>"

    def __next__(self) -> Y:
        __traceback_hide__ = True
        return self._resume("send", None)  # type: ignore[no-any-return]  # Y, by the iterable

    def send(self, value: S) -> Y:
        """Resume the generator with `value` and return the next item."""
        __traceback_hide__ = True
        return self._resume("send", value)  # type: ignore[no-any-return]  # Y, by the iterable

    def throw(
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
            return self._resume("throw", error)  # type: ignore[no-any-return]  # Y, by the iterable
        finally:
            del error, typ, val, self

    def _resume(self, method: str, value: Any) -> Any:
        __traceback_hide__ = True
        self._take_turn()
        try:
            if self._is_closed:
                raise StopIteration
            self._has_begun = True
            try:
                if self._ahead is not None:
                    item = self._ahead.next(method, value)
                else:
                    item = self._lane.run(self._body.resume, method, value)
            except BaseException as error:
                if self._body.has_ended or isinstance(error, LoopGoneError):
                    self._end()
                elif not isinstance(error, Exception):
                    # Ctrl-C, or a cancellation that never reached the iterator.
                    self._is_closed = True
                    self._lane.abandon(self._body.close)
                raise
            if item is END:
                self._end()
                raise StopIteration
            return item
        finally:
            self._turn.release()
            del value, self

    def _take_turn(self) -> None:
        if not self._turn.acquire(False):
            raise ValueError(f"{self!r} is already running: one thread at a time can iterate")

    def _end(self) -> None:
        self._is_closed = True
        self._lane.release()

    def close(self) -> None:
        """Close the iterator's generator, in its task. Waits until that is done."""
        __traceback_hide__ = True
        self._take_turn()
        try:
            if self._is_closed:
                return
            self._is_closed = True
            if not self._has_begun:
                return
            try:
                if self._ahead is not None:
                    self._ahead.stop()
                if not self._body.has_ended:
                    self._lane.run(self._body.close)
            except LoopGoneError:
                if not self._body.has_ended:
                    raise
            except BaseException:
                if not self._body.has_ended:
                    self._lane.abandon(self._body.close)
                raise
            finally:
                if self._body.has_ended:
                    self._lane.release()
        finally:
            self._turn.release()

    def __del__(self) -> None:
        if self.__dict__.get("_has_begun") and not self._is_closed:
            if self._ahead is not None:
                self._ahead.abandon()
            self._lane.abandon(self._body.close)


class AsyncGeneratorToSync(AsyncToSync[P, Any]):
    """An async generator function whose calls are iterated over from sync code."""

    def __init__(
        self, awaitable: Callable[P, Any], *, max_buffer_size: int = 0, host: Host | None = None
    ) -> None:
        super().__init__(awaitable, host=host, gives_awaitable=False)
        check_size(max_buffer_size)
        self._max_buffer_size = max_buffer_size

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Make the async generator, of which nothing runs yet: iterate over what this returns."""
        __traceback_hide__ = True
        made: Any = self.awaitable(*args, **kwargs)
        return TaskIterator[Any, Any](made, self._max_buffer_size, self._host)


def async_to_sync_iterator(
    iterable: AsyncIterable[Y], *, max_buffer_size: int = 0
) -> Generator[Y, Any, None]:
    """Iterate over an async iterable from sync code.

    All of its code runs in one task of one event loop, the one in which `async_to_sync` would run a coroutine
    when the first item is asked for; where no loop waits for the sync code, in a loop of its own. The calling
    thread waits for each item, and meanwhile runs the thread-sensitive code that belongs to it. Leaving early
    closes an async generator in that task: with `close()` or `contextlib.closing` at once, else when the
    iterator is garbage collected or the loop is closed. Iterators of other kinds are left as they are.

    Args:
        iterable: An async generator or any other async iterable.
        max_buffer_size: Let the iterable run ahead by so many items at most, which costs far less for each
            than a crossing of its own. 0 runs nothing that was not asked for.

    Returns:
        A generator. Without a buffer the iterable's code sees the context variables of whoever asks for an
        item, and what it sets comes back with the item; with one it sees those of the moment when iteration
        began, and what it sets stays with it. `send` and `throw` work for async generators, without a buffer.

    Raises:
        TypeError: If `iterable` is not async iterable, or `max_buffer_size` no number.
        ValueError: If `max_buffer_size` is negative.
        RuntimeError: From the iterator, on the thread of a running event loop, or when the iterator's own has
        ended.

    >>> import asyncio
    >>> from asgi_sync import async_to_sync_iterator
    >>> async def countdown(number):
    ...     while number:
    ...         await asyncio.sleep(0)
    ...         yield number
    ...         number -= 1
    >>> list(async_to_sync_iterator(countdown(3)))
    [3, 2, 1]
    """
    return iterate(iterable, max_buffer_size, None)


def iterate(iterable: AsyncIterable[Y], max_buffer_size: int, host: Host | None) -> Generator[Y, Any, None]:
    if not hasattr(type(iterable), "__aiter__"):
        raise TypeError(f"an async iterable is wanted, not {iterable!r}")
    check_size(max_buffer_size)
    return TaskIterator(iterable, max_buffer_size, host)
