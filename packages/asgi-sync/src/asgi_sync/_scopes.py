"""The two context managers that choose threads for the code inside them."""

from __future__ import annotations

import threading
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from asgi_local import Local

from ._loops import LoopThread
from ._worker import ContextExecutor, new_thread, own_home

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from types import TracebackType
    from typing import Self

#: `AsyncToSync.executors`: its attribute `current` is the frame that sensitive code of this context goes to.
executors = Local()
#: `SyncToAsync.thread_sensitive_context`
thread_sensitive_context: ContextVar[ThreadSensitiveContext] = ContextVar("thread_sensitive_context")
#: `SyncToAsync.context_to_thread_executor`
context_to_thread_executor: WeakKeyDictionary[ThreadSensitiveContext, Executor] = WeakKeyDictionary()
#: `AsyncToSync.async_single_thread_context`
async_single_thread_context: ContextVar[AsyncSingleThreadContext | None] = ContextVar(
    "async_single_thread_context", default=None
)


class ThreadSensitiveContext:
    """Give the thread-sensitive code of one block, a request for instance, a thread of its own.

    An async context manager. Without it all thread-sensitive code of an async program shares one thread. The block's
    thread is borrowed at the first call and kept for other blocks afterwards; no two blocks that are open at the same
    time share one. Leaving waits for nothing: calls that still run or wait are finished on that thread first.

    Args:
        executor: Run the block's code there instead. It must have a single thread and stays the caller's own: it is
            not shut down. Such a context holds inside another one and inside `async_to_sync` too, is entered once, and
            after it the tasks made in it cannot make thread-sensitive calls any more.

    A context without an executor inside another context changes nothing: the outer one's thread is used.

    Raises:
        RuntimeError: When a context with an executor is entered a second time.

    >>> import asyncio, threading
    >>> from asgi_sync import ThreadSensitiveContext, sync_to_async
    >>> async def request():
    ...     async with ThreadSensitiveContext():
    ...         first = await sync_to_async(threading.get_ident)()
    ...         return first == await sync_to_async(threading.get_ident)()
    >>> asyncio.run(request())
    True
    """

    def __init__(self, *, executor: Executor | None = None) -> None:
        self._executor = executor
        self._outer_frame: Any = None
        self._exited = False
        self.token: Token[ThreadSensitiveContext] | None = None

    async def __aenter__(self) -> Self:
        if self._executor is not None:
            self._enter_executor(self._executor)
        elif thread_sensitive_context.get(None) is None:
            self.token = thread_sensitive_context.set(self)
        return self

    def _enter_executor(self, executor: Executor) -> None:
        if self.token is not None:
            raise RuntimeError("This ThreadSensitiveContext is already entered")
        if self._exited:
            # Its late tasks, which get an error now, would be let into the second block.
            raise RuntimeError("A ThreadSensitiveContext with an executor cannot be entered again")
        self.token = thread_sensitive_context.set(self)
        context_to_thread_executor[self] = executor
        # A frame that waits further out would come first.
        self._outer_frame = getattr(executors, "current", None)
        executors.current = None

    async def __aexit__(
        self, exc: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.token is None:
            return
        executor = context_to_thread_executor.pop(self, None)
        thread_sensitive_context.reset(self.token)
        self.token = None
        self._exited = True
        if self._executor is not None:
            executors.current, self._outer_frame = self._outer_frame, None
        elif isinstance(executor, ContextExecutor):
            executor.give_back()
        elif executor is not None:
            # Somebody put one of their own here. Its shutdown may wait for calls that still run: not on this thread.
            shutdown = getattr(executor, "shutdown", None)
            if shutdown is not None:
                new_thread(shutdown, "asgi-sync-shutdown").start()


def place_of(scope: Any) -> Any:
    """The `Home` or foreign executor for the code of a context, whose key may be anybody's. On its loop's thread."""
    executor = context_to_thread_executor.get(scope)
    if executor is not None:
        return own_home(executor) or executor
    exited = getattr(scope, "_exited", False)
    if exited and scope._executor is not None:
        raise RuntimeError(
            "ThreadSensitiveContext has exited: a task that was made in a context with an executor must make its "
            "thread-sensitive calls before that."
        )
    executor = context_to_thread_executor[scope] = ContextExecutor()
    # A task that outlives its context must not run on a thread that the context had, and may have shared since.
    return executor.home(fresh=exited)


class AsyncSingleThreadContext:
    """Run the async code of all `async_to_sync` calls inside in one event loop, on one thread.

    A context manager for sync code that no event loop waits for. The loop lives as long as the block: what one call
    leaves in it, a client with pooled connections or a background task, is there for the next. At the end of the block
    the loop is closed as `asyncio.run` does, tasks cancelled; the thread that leaves the block waits for that, and runs
    the thread-sensitive code of those tasks until then.

    An inner context, and one in sync code that an event loop waits for, changes nothing. A context can be used again.

    >>> import threading
    >>> from asgi_sync import AsyncSingleThreadContext, async_to_sync
    >>> async def thread():
    ...     return threading.get_ident()
    >>> with AsyncSingleThreadContext():
    ...     async_to_sync(thread)() == async_to_sync(thread)()
    True
    """

    def __init__(self) -> None:
        #: Whether its block runs: an inner one's, which changes nothing, does not count.
        self.is_entered: bool = False
        # A finalizer may run a coroutine as well, on the very thread that holds it.
        self._lock = threading.RLock()
        self._loop_thread: LoopThread | None = None

    def __enter__(self) -> Self:
        if async_single_thread_context.get() is None:
            # Without its token, which would lead back here in a cycle: a thread that ends in the block lets go of it.
            async_single_thread_context.set(self)
            self.is_entered = True
        return self

    def __exit__(
        self, exc: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self.is_entered:
            return
        async_single_thread_context.set(None)
        self.is_entered = False
        with self._lock:
            loop_thread, self._loop_thread = self._loop_thread, None
        if loop_thread is not None:
            from ._ending import end_loop  # it stands on what stands on this module

            end_loop(loop_thread, tells_errors=True)

    def __del__(self) -> None:
        # A block that was never left, in a thread that has ended.
        loop_thread = self._loop_thread
        if loop_thread is not None:
            loop_thread.close()

    def run(self, frame: Any) -> None:
        """Run a frame's coroutine in the block's loop. From any thread."""
        with self._lock:
            while self._loop_thread is None or not self._loop_thread.submit(frame):
                made = LoopThread(is_shared=True)
                if self._loop_thread is None or self._loop_thread.is_closed:
                    self._loop_thread = made
                else:
                    made.close()  # a finalizer was quicker
