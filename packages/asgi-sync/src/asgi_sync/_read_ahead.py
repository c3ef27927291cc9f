"""Iterators that may run ahead of their consumer, by a limited number of items."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Context

    from ._sync_iterators import Body
    from ._thread_lane import ThreadLane


def check_size(max_buffer_size: object) -> None:
    # The exact type first: each wrapper that is made asks this.
    if type(max_buffer_size) is not int and (
        not isinstance(max_buffer_size, int) or isinstance(max_buffer_size, bool)
    ):
        raise TypeError(f"max_buffer_size must be a number of items, not {max_buffer_size!r}")
    if max_buffer_size < 0:
        raise ValueError(f"max_buffer_size must be 0 or more, not {max_buffer_size}")


class ReadAheadFromThread:
    """Fills a buffer on the lane's thread, in batches, and empties it on the loop's.

    A batch ends when the buffer is full, or between two items when other work waits for the thread; the next
    begins when half of the buffer is used up.
    """

    def __init__(self, lane: ThreadLane, body: Body, size: int) -> None:
        self._lane = lane
        self._body = body
        self._size = size
        self._items: deque[Any] = deque()
        self._error: BaseException | None = None
        self._has_ended = False
        self._is_stopped = False
        self._filling: asyncio.Task[None] | None = None
        self._context: Context | None = None
        self._loop: asyncio.AbstractEventLoop
        # Set by the consumer before it looks at the buffer again, and read by the thread after it has added
        # to it: one of both sees the other.
        self._consumer_waits = False
        self._item_came: asyncio.Future[None] | None = None

    # On the thread

    def _fill(self) -> None:
        from ._sync_iterators import END

        items, size, resume = self._items, self._size, self._body.resume
        while not self._is_stopped and len(items) < size:
            item = resume("send", None)
            if item is END:
                self._has_ended = True
                return
            items.append(item)
            if self._consumer_waits:
                self._consumer_waits = False
                self._loop.call_soon_threadsafe(self._wake)
            if self._lane.others_wait:
                return

    # On the loop

    async def next(self, method: str, value: Any) -> Any:
        """The next item, or `END`."""
        __traceback_hide__ = True
        if method != "send" or value is not None:
            raise TypeError(f"cannot {method} into an iterator that runs ahead: use max_buffer_size=0")
        items = self._items
        while not items:
            if self._has_ended:
                from ._sync_iterators import END

                return END
            if self._error is not None:
                error, self._error = self._error, None
                self._has_ended = True
                try:
                    raise error
                finally:
                    del error, self
            await self._wait()
        item = items.popleft()
        if self._filling is None and len(items) <= self._size // 2:
            self._start_filling()
        return item

    async def _wait(self) -> None:
        self._start_filling()
        self._item_came = self._loop.create_future()
        self._consumer_waits = True
        if not self._items:
            await self._item_came
        self._consumer_waits = False

    def _start_filling(self) -> None:
        if self._filling is not None or self._has_ended or self._error is not None:
            return
        self._loop = asyncio.get_running_loop()
        if self._context is None:
            self._context = copy_context()
        # In the same context each time: a batch begins at no moment that the consumer could name.
        self._filling = self._loop.create_task(self._lane.run(self._fill), context=self._context.copy())
        self._filling.add_done_callback(self._filled)

    def _filled(self, task: asyncio.Task[None]) -> None:
        self._filling = None
        if task.cancelled():
            self._error = asyncio.CancelledError()
        elif task.exception() is not None:
            self._error = task.exception()
        elif not self._is_stopped and len(self._items) < self._size // 2 and not self._loop.is_closed():
            self._start_filling()
        self._wake()

    def _wake(self) -> None:
        future = self._item_came
        if future is not None and not future.done():
            future.set_result(None)

    def stop(self) -> None:
        """Run no further ahead. From any thread."""
        self._is_stopped = True
