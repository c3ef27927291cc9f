"""A sync frame that waits on its thread for a coroutine, and serves that thread's queue meanwhile."""

from __future__ import annotations

import asyncio
import sys
from _thread import allocate_lock
from concurrent.futures import Executor, Future
from contextvars import Context, ContextVar, copy_context
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ._home import Home, home_of_this_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._hosts import Host
    from ._loops import LoopThread

P = ParamSpec("P")
R = TypeVar("R")

#: The frame that waits for the running coroutine, or for one further out. Unlike `AsyncToSync.executors.current`,
#: which says where sensitive code goes and can be hidden, it always tells who waits for whom.
waiting_frame: ContextVar[Frame | None] = ContextVar("asgi_sync.waiting_frame", default=None)


#: `AsyncToSync.loop_thread_executors`: by loop, where sensitive code of tasks goes that have no frame in their context.
loop_thread_executors: dict[asyncio.AbstractEventLoop, Executor] = {}


class CurrentThreadExecutor(Executor):
    """An executor that runs what is submitted on the thread that made it, while that thread waits in it.

    Args:
        old_executor: The one of the next frame further out. It gets the work once this one has quit.

    Other threads submit; the thread that made it calls `run_until_future`, and works until that future is done.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import threading
    >>> executor = CurrentThreadExecutor(None)
    >>> with ThreadPoolExecutor() as pool:
    ...     future = pool.submit(lambda: executor.submit(threading.get_ident).result())
    ...     executor.run_until_future(future)
    >>> future.result() == threading.get_ident()
    True
    """

    #: Whether thread-sensitive code belongs on this thread.
    is_sensitive: bool = True
    _quit = False

    def __init__(self, old_executor: Executor | None) -> None:
        self.home: Home = home_of_this_thread()
        self.home.enter()
        self._old_executor = old_executor

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `fn` called on the thread that waits.

        Returns:
            A future of what `fn` returns or raises.

        Raises:
            RuntimeError: On the executor's own thread, which would wait for itself; or when this executor and all
                that are further out have quit.
        """
        if self.home.is_here:
            raise RuntimeError("You cannot submit onto CurrentThreadExecutor from its own thread")
        work = SubmittedWork(fn, args, kwargs)
        executor: Executor | None = self
        while isinstance(executor, CurrentThreadExecutor):
            if executor.home.submit(work):
                return work.future
            executor = executor._old_executor
        if executor is not None:
            return executor.submit(fn, *args, **kwargs)
        raise RuntimeError("CurrentThreadExecutor already quit or is broken")

    def run_until_future(self, future: Future[Any]) -> None:
        """Run what is submitted until `future` is done and nothing is left.

        Raises:
            RuntimeError: On any thread but the executor's own.
        """
        if not self.home.is_here:
            raise RuntimeError("You cannot run CurrentThreadExecutor from a different thread")
        future.add_done_callback(lambda _: self.home.wake())
        try:
            # No limit: how long to wait is up to whoever completes the future.
            self.home.serve_until(future.done)
        finally:
            self.quit()

    def quit(self) -> None:
        """The thread no longer waits here."""
        if not self._quit:
            self._quit = True
            self.home.leave()


class SubmittedWork:
    """A callable that was submitted to an executor of this package by somebody else."""

    __slots__ = ("_args", "_fn", "_kwargs", "future")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.future: Future[Any] = Future()
        self._fn = fn
        self._args = args
        self._kwargs = kwargs

    def __repr__(self) -> str:
        return f"<{self._fn!r}, which was submitted to an executor>"

    def is_for(self, frame: object) -> bool:
        return False  # as far as can be told

    def run(self, home: Home) -> None:
        future = self.future
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = self._fn(*self._args, **self._kwargs)
        except BaseException as error:
            future.set_exception(error)
            del self, future  # the error's traceback holds this frame
        else:
            future.set_result(result)


class Frame(CurrentThreadExecutor):
    """What `async_to_sync` waits in: the coroutine to be, where it runs, and its outcome."""

    #: The loop to run in, if it is not to be looked for.
    host: Host | None = None
    #: The thread that runs the loop for this frame, unless that is a loop which was there before.
    loop_thread: LoopThread | None = None
    loop: asyncio.AbstractEventLoop | None = None
    #: The loop that it is handed to, if that is not ours: it may be closed at any time.
    parent: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[Any] | None = None
    result: Any = None
    error: BaseException | None = None
    finished: bool = False
    done: bool = False
    #: Ctrl-C, or another signal's handler, has ended the wait.
    is_interrupted: bool = False
    _cancel_requested: bool = False
    context: Context
    #: The context as it was when the coroutine began.
    baseline: Context

    def __init__(
        self,
        old_executor: Executor | None,
        start: Callable[[Frame], Coroutine[Any, Any, Any]],
        wants_new_loop: bool = False,
    ) -> None:
        super().__init__(old_executor)
        self.wants_new_loop = wants_new_loop
        #: Makes the coroutine, on the loop's thread; it ends with `finish`.
        self._start = start
        self.call = self.home.call
        #: The next frame further out that waits.
        self.outer_frame: Frame | None
        if self.call is None:
            self.outer_frame = waiting_frame.get()
        else:
            self.outer_frame = self.call.outer_frame
            self.is_sensitive: bool = self.call.sensitive

    # On the loop's thread

    def start(self) -> None:
        """Begin the coroutine."""
        self.loop = loop = asyncio.get_running_loop()
        try:
            task = new_task(loop, self._start(self), self.context)
        except BaseException as error:  # a task factory that fails: the frame must hear of it
            self.finish(None, error)
            return
        # One that has ended in its first step has let the thread go on, which has released the frame by now, maybe: it
        # must get nothing any more.
        if not task.done():
            self.task = task
            task.add_done_callback(self._task_done)
            if self._cancel_requested:
                self._cancel_task()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        # A task that is cancelled before its first step never runs the coroutine.
        if not self.finished:
            self.finish(None, asyncio.CancelledError())

    def finish(self, result: Any, error: BaseException | None) -> None:
        """The coroutine has ended, in its own context; its task is still to end."""
        self.result = result
        self.error = error
        self.context = copy_context()
        self.finished = True
        if self.loop_thread is None:
            self.complete()
        elif self.task is not None:
            self.loop_thread.frame_ended(self)
        # Otherwise it has ended in its first step, before `start` returns to that thread.

    def enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """What runs in this loop without a context of its own belongs to this frame."""
        loop_thread_executors.setdefault(loop, self)

    def leave_loop(self) -> None:
        if self.loop is not None and loop_thread_executors.get(self.loop) is self:
            del loop_thread_executors[self.loop]

    def cancel(self) -> bool:
        """Cancel the coroutine; `False` if it has ended. From the thread of any loop."""
        if self.finished:
            return False
        self.request_cancel()
        return True

    def _cancel_task(self) -> None:
        if self.task is not None and not self.finished:
            self.task.cancel()

    # From any thread

    def request_cancel(self) -> None:
        """Cancel the coroutine soon, or as soon as it starts."""
        # `start` sets the loop and then looks at the flag; here it is the other way round: one of both sees the other.
        self._cancel_requested = True
        loop = self.loop
        if loop is None:
            return
        if loop is asyncio._get_running_loop():
            self._cancel_task()
            return
        try:
            loop.call_soon_threadsafe(self._cancel_task)
        except RuntimeError:
            pass  # the loop is closed, and the coroutine gone with it

    def complete(self) -> None:
        """The outcome is there: let the thread go on."""
        self.done = True
        self.home.wake()

    def release(self) -> None:
        """The thread goes on. Tasks that live longer keep the frame in their context: let it keep nothing else."""
        self.quit()
        self.call = self.outer_frame = self.task = self.loop = self.parent = self.loop_thread = None
        del self.context, self.baseline, self._start

    def is_over(self) -> bool:
        """Whether there is nothing to wait for any more: the coroutine is done, or its loop is closed."""
        return self.done or (self.parent is not None and self.parent.is_closed())

    # On the waiting thread

    def close_unstarted(self) -> None:
        """Its loop is closed: a coroutine that was to begin there would warn that it never did."""
        coroutine = self.task.get_coro() if isinstance(self.task, asyncio.Task) else None
        # A task factory may have wrapped it in something else.
        if iscoroutine(coroutine) and getcoroutinestate(coroutine) == CORO_CREATED:
            coroutine.close()

    def outcome(self) -> Any:
        """Return or raise what the coroutine did. Once."""
        error, self.error = self.error, None
        if error is None:
            result, self.result = self.result, None
            return result
        try:
            raise error
        finally:
            del error, self  # the traceback holds this frame


class Start:
    """The one start of a frame's coroutine in a loop that may never get to it."""

    __slots__ = ("_claim", "_frame")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._claim = allocate_lock()

    def __call__(self) -> None:
        """On the loop's thread: begin, unless it was taken back."""
        if self._claim.acquire(False):
            self._frame.start()

    def take_back(self) -> bool:
        """On the waiting thread: whether the coroutine has not begun in that loop, and now never will."""
        if not self._claim.acquire(False):
            return False
        self._frame.parent = None
        return True


if sys.version_info >= (3, 12):
    _EAGER: set[type] = {asyncio.SelectorEventLoop}

    def new_task(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> asyncio.Task[Any]:
        """A task that may have ended already: its first step runs at once, which saves a round of the loop."""
        if type(loop) in _EAGER and loop.get_task_factory() is None:
            return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
        return loop.create_task(coroutine, context=context)

else:

    def new_task(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context
    ) -> asyncio.Task[Any]:
        """A task of the loop's own kind."""
        return loop.create_task(coroutine, context=context)


def home_for(executor: object) -> Home | object | None:
    """Where sensitive code goes that is told to run on `executor`, or `None` if nobody is there any more.

    A frame that waits in insensitive code is no place for sensitive code: what lies further out is (asgiref issue 357).
    """
    while isinstance(executor, CurrentThreadExecutor):
        if executor.is_sensitive and executor.home.is_open:
            return executor.home
        executor = executor._old_executor
    return executor
