"""Messages from other threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ._errors import ServerClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Dispatch = Callable[[], Coroutine[object, object, None]]


class Submissions:
    """What ``submit()`` was given. Every future gets a result; if nothing else, the server's end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: set[Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, in any thread, :meth:`add` works; *loop* runs what it is given."""
        with self._lock:
            self._loop = loop

    def close(self) -> None:
        """The end; what the loop has not finished is an error for those who wait."""
        with self._lock:
            self._loop = None
            futures, self._futures = self._futures, set()
        for task in self._tasks:
            task.cancel()
        for future in futures:
            if not future.done() and (future.running() or future.set_running_or_notify_cancel()):
                future.set_exception(ServerClosedError("the server stopped before it took the message"))

    def add(self, dispatch: Dispatch) -> Future[None]:
        """Run *dispatch* on the loop; raises ServerClosedError if there is none. Any thread."""
        future: Future[None] = Future()
        with self._lock:
            if self._loop is None:
                raise ServerClosedError("the server is not running")
            self._futures.add(future)
            self._loop.call_soon_threadsafe(self._start, future, dispatch)
        return future

    def _start(self, future: Future[None], dispatch: Dispatch) -> None:
        with self._lock:
            if future not in self._futures:
                return  # the end came first and has told it
            if not future.set_running_or_notify_cancel():
                self._futures.discard(future)
                return
        task = asyncio.get_running_loop().create_task(self._run(future, dispatch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, future: Future[None], dispatch: Dispatch) -> None:
        error: Exception | None = None
        try:
            await dispatch()
        except Exception as raised:
            error = raised
        with self._lock:
            if future not in self._futures:
                return
            self._futures.discard(future)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
