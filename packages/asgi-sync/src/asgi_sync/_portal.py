"""A loop in a thread of its own, for sync programs that use async libraries all day."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ._async_context_managers import enter_from_sync
from ._async_iterators import iterate
from ._async_to_sync import AsyncToSync
from ._call import describe
from ._context import carried_copy
from ._ending import end_loop
from ._hosts import LoopGoneError
from ._state import process
from ._task_status import TaskStatus
from ._waiting import wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Generator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from ._frame import Frame
    from ._loops import LoopThread

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")

_NOT_STARTED: Any = object()


class BlockingPortal:
    """An event loop in a thread of its own, for sync code: what `start_blocking_portal` gives.

    All threads may use it at the same time. Each call waits for its own coroutine, and meanwhile runs the
    thread-sensitive code that belongs on the calling thread. What a call leaves in the loop, connections and
    tasks, is there for the next.
    """

    def __init__(self, loop_thread: Any) -> None:
        self._host = _PortalLoop(loop_thread)
        self._loop: asyncio.AbstractEventLoop
        look_at_loop = AsyncToSync(_running_loop, host=self._host)
        try:
            if asyncio._get_running_loop() is None:
                self._loop = look_at_loop()
            else:
                # It is made on a thread that may not wait for a loop; this takes a moment only.
                with ThreadPoolExecutor(1) as helper:
                    self._loop = helper.submit(look_at_loop).result()
        except BaseException:
            loop_thread.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._host.loop_thread.thread.name!r}{', over' if self._host.is_over else ''}>"

    def _check_thread(self) -> None:
        self._host.check()
        if threading.current_thread() is self._host.loop_thread.thread:
            raise RuntimeError(
                "A portal cannot be used on the thread of its own event loop, which would wait for itself: "
                "await the async function, or use asyncio.create_task."
            )

    @overload
    def call(self, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def call(self, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def call(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `func` in the portal's loop, await what it returns if that is awaitable, and wait for it.

        Returns or raises what `func` does. Ctrl-C, in the main thread, cancels it first.

        Raises:
            RuntimeError: When the portal is over, or ends before the call has; in a forked child; or on the
                thread of a running event loop.
        """
        __traceback_hide__ = True
        self._check_thread()
        return AsyncToSync(_call_and_await, host=self._host)(func, args, kwargs)

    @overload
    def start_task_soon(
        self, func: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def start_task_soon(
        self, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]: ...
    @overload
    def start_task_soon(self, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def start_task_soon(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a task in the portal's loop, in a copy of this context, and wait for nothing.

        Returns:
            A future of what `func` returns or raises. Cancelling it cancels the task; a task that is
            cancelled, as all are at the end of the portal, cancels it.

        Raises:
            RuntimeError: When the portal is over, in a forked child, or on the thread of the portal's loop.
        """
        future: Future[Any] = Future()
        self._spawn(_call_and_await(func, args, kwargs), future)
        return future

    def start_task(
        self, func: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any
    ) -> tuple[Future[R], Any]:
        """Start a task that says when it is ready, and wait for that.

        Args:
            func: Called with a `TaskStatus` as the keyword `task_status`, besides `args` and `kwargs`. It
                calls `task_status.started(value)` once, and goes on.

        Returns:
            A future as of `start_task_soon`, and the value that `started` was given.

        Raises:
            RuntimeError: When `func` ends without calling `started`; and as `start_task_soon`.
            BaseException: What `func` raises before it calls `started`.
        """
        __traceback_hide__ = True
        ready: Future[Any] = Future()
        kwargs["task_status"] = TaskStatus(ready)
        future: Future[Any] = Future()

        def ended(_: Future[Any]) -> None:
            # Without the task's exception: its frames lead to the task status, and that to `ready`.
            if not ready.done():
                ready.set_result(_NOT_STARTED)

        future.add_done_callback(ended)
        try:
            self._spawn(_call_and_await(func, args, kwargs), future)
            value = self.call(_wait_for, ready)
        except BaseException:
            future.cancel()
            raise
        if value is not _NOT_STARTED:
            return future, value
        try:
            if future.cancelled():
                raise asyncio.CancelledError
            future.result()
            raise RuntimeError(f"{describe(func)} has ended without calling task_status.started()")
        finally:
            del future  # it has the exception, whose traceback holds this frame

    def wrap_async_context_manager(
        self, manager: AbstractAsyncContextManager[T, Any]
    ) -> AbstractContextManager[T, bool | None]:
        """Use an async context manager with `with`, entered and left in one task of the portal's loop.

        As `async_to_sync_context_manager`.
        """
        return enter_from_sync(manager, self._host)

    def wrap_async_iterator(
        self, iterable: AsyncIterable[Y], *, max_buffer_size: int = 0
    ) -> Generator[Y, Any, None]:
        """Iterate over an async iterable from sync code, in one task of the portal's loop.

        As `async_to_sync_iterator`.
        """
        return iterate(iterable, max_buffer_size, self._host)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any], future: Future[Any]) -> None:
        context = carried_copy()
        #: Whoever has it starts the coroutine or closes it.
        claim = threading.Lock()

        def start() -> None:
            if not claim.acquire(False):
                return
            if future.cancelled():
                coroutine.close()
                return
            task = asyncio.get_running_loop().create_task(coroutine, context=context)
            self._host.tasks.add(task)
            task.add_done_callback(self._host.tasks.discard)
            task.add_done_callback(finished)
            future.add_done_callback(functools.partial(cancel, task))

        def finished(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            error = task.exception()
            if error is None:
                future.set_result(task.result())
            else:
                future.set_exception(error)

        def cancel(task: asyncio.Task[Any], future: Future[Any]) -> None:
            if future.cancelled():
                try:
                    self._loop.call_soon_threadsafe(task.cancel)
                except RuntimeError:
                    pass  # the loop is closed, and the task gone with it

        try:
            self._check_thread()
            with self._host.lock:
                self._host.check()
                self._loop.call_soon_threadsafe(start)
        except BaseException:
            # Ctrl-C may come in the moment after the task has begun.
            if claim.acquire(False):
                coroutine.close()
            else:
                future.cancel()
            raise

    def _stop(self) -> None:
        """Cancel and await all tasks, then end the loop and its thread.

        The calling thread serves its queue meanwhile: what the tasks do at their end may need it.
        """
        host = self._host
        with host.lock:
            was_over, host.is_over = host.is_over, True
        if was_over or host.generation is not process.generation:
            return
        end_loop(host.loop_thread, tells_errors=False)  # which the tasks' futures have


class _PortalLoop:
    """The portal's loop as a host, and whether it may still be used."""

    def __init__(self, loop_thread: LoopThread) -> None:
        self.loop_thread = loop_thread
        self.generation = process.generation
        #: Held while something is handed to the loop, so that nothing comes in after its end has begun. A finalizer may
        #: do so on the very thread that holds it.
        self.lock = threading.RLock()
        self.is_over = False
        #: asyncio holds tasks weakly, and nobody needs to keep the future of a background task.
        self.tasks: set[asyncio.Task[Any]] = set()

    def check(self) -> None:
        """Raise an error if it may not."""
        if self.generation is not process.generation:
            raise LoopGoneError(
                "This portal stayed behind in the process that was forked: start one in the child."
            )
        if self.is_over:
            raise LoopGoneError("This portal is over: its with block has ended.")

    def run(self, frame: Frame) -> None:
        __traceback_hide__ = True
        with self.lock:
            self.check()
            if not self.loop_thread.submit(frame):
                raise LoopGoneError("The portal's event loop has been closed.")
        wait(frame)

    def release(self) -> None:
        """It lasts as long as the portal."""


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _call_and_await(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    __traceback_hide__ = True
    result = func(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def _wait_for(future: Future[Any]) -> Any:
    return await asyncio.wrap_future(future)
