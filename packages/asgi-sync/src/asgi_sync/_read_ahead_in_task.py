"""Async iterators that may run ahead of their sync consumer, by a limited number of items."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ._frame import SubmittedWork
from ._home import home_of_this_thread
from ._scopes import executors
from ._sync_iterators import END
from ._sync_to_async import SyncToAsync
from ._task_lane import wake

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._async_iterators import AsyncBody
    from ._async_to_sync import AsyncToSync
    from ._task_lane import Job, TaskLane

P = ParamSpec("P")
R = TypeVar("R")


class _ConsumersThread(Executor):
    """Where sensitive code of the iterator belongs: the consumer's thread, when that waits for an item."""

    def __init__(self) -> None:
        self.home = home_of_this_thread()
        self.is_over = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        if self.is_over:
            late: Future[R] = SyncToAsync.single_thread_executor.submit(fn, *args, **kwargs)
            return late
        work = SubmittedWork(fn, args, kwargs)
        # Not `submit`: the consumer may be between two items, but it comes back, or the iterator is closed.
        self.home.order(work)
        return work.future


class ReadAheadInTask:
    """Fills a buffer in the lane's task, in batches, and empties it on the consumer's thread.

    A batch ends when the buffer is full; the next begins when half of it is used up.
    """

    def __init__(self, lane: TaskLane, body: AsyncBody, size: int) -> None:
        self._lane = lane
        self._body = body
        self._size = size
        self._items: deque[Any] = deque()
        self._error: BaseException | None = None
        self._has_ended = False
        self._is_stopped = False
        self._is_filling = False
        self._item_came: asyncio.Future[None] | None = None
        self._wait: AsyncToSync[..., Any] | None = None
        self._thread: _ConsumersThread | None = None

    # On the consumer's thread

    def next(self, method: str, value: Any) -> Any:
        """The next item, or `END`."""
        __traceback_hide__ = True
        if method != "send" or value is not None:
            raise TypeError(f"cannot {method} into an iterator that runs ahead: use max_buffer_size=0")
        items = self._items
        if not items:
            self._wait_for_item()
            if not items:
                return END
        item = items.popleft()
        # Where the task has just found the buffer full and this misses it, the consumer asks when it is
        # empty.
        if (
            not self._is_filling
            and len(items) == self._size // 2
            and not self._has_ended
            and self._lane.loop is not None
        ):
            try:
                self._lane.loop.call_soon_threadsafe(self._start_filling)
            except RuntimeError:
                pass  # the loop is closed: the consumer hears of that once it has all that is there
        return item

    def _wait_for_item(self) -> None:
        __traceback_hide__ = True
        if self._error is None and not self._has_ended:
            if self._wait is None:
                self._lane.begin()
                self._wait = self._lane.crossing(ReadAheadInTask._until_item)
            if (
                self._thread is None
                or self._thread.home.thread.ident is None
                or not self._thread.home.is_here
            ):
                self._thread = _ConsumersThread()
            self._wait(self)
        if not self._items and self._error is not None:
            # In this order: nothing may begin to fill in between.
            self._has_ended = True
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error, self

    def stop(self) -> None:
        """Run no further ahead, before the iterator is closed."""
        self._is_stopped = True
        if self._wait is not None:
            self._lane.crossing(ReadAheadInTask._until_stopped)(self)
        self._end_thread()
        error, self._error = self._error, None
        if error is not None and not isinstance(error, asyncio.CancelledError):
            try:
                raise error  # nobody has heard of it
            finally:
                del error, self

    def abandon(self) -> None:
        """The same when nobody can wait. From any thread."""
        self._is_stopped = True
        self._end_thread()
        if self._lane.loop is not None:
            try:
                self._lane.loop.call_soon_threadsafe(self._cancel_filling)
            except RuntimeError:
                pass  # the loop is closed

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.is_over = True

    # On the loop

    async def _until_item(self) -> None:
        """In the task of the frame that waits."""
        while not (self._items or self._has_ended or self._error is not None):
            # Before it begins: it may end at once.
            self._item_came = item_came = asyncio.get_running_loop().create_future()
            self._start_filling()
            try:
                await item_came
            except asyncio.CancelledError:
                self._lane.cancel()

    async def _until_stopped(self) -> None:
        while self._is_filling:
            self._lane.cancel()
            self._item_came = asyncio.get_running_loop().create_future()
            try:
                await self._item_came
            except asyncio.CancelledError:
                continue

    def _cancel_filling(self) -> None:
        if self._is_filling:
            self._lane.cancel()

    def _start_filling(self) -> None:
        if self._is_filling or self._has_ended or self._is_stopped or self._error is not None:
            return
        self._is_filling = True
        self._lane.post(self._fill).call_when_done(self._filled)

    async def _fill(self) -> object:
        """In the lane's task. Does not even begin if that is cancelled first, by a timeout or the end of the loop."""
        executors.current = self._thread
        items, size, resume = self._items, self._size, self._body.resume
        while not self._is_stopped and len(items) < size:
            item = await resume("send", None)
            if item is END:
                return END
            items.append(item)
            wake(self._item_came)
        return None

    def _filled(self, job: Job) -> None:
        self._error = job.take_error()
        self._has_ended = job.result is END
        self._is_filling = False
        wake(self._item_came)
