"""One task for the whole life of something that is resumed from sync code, step by step."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ._async_to_sync import AsyncToSync
from ._call import without_our_frames
from ._hosts import host_for_this_call
from ._lasting_context import LastingContext
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from ._hosts import Host


class Job:
    """What the task is asked to do, and its outcome."""

    def __init__(
        self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...], callers: Context | None
    ) -> None:
        self.func = func
        self.args = args
        self.callers = callers
        self.is_done = False
        self._when_done: Callable[[Job], None] | None = None
        self.result: Any = None
        self._error: BaseException | None = None

    def finish(self, result: Any, error: BaseException | None) -> None:
        self.result, self._error, self.is_done = result, error, True
        when_done, self._when_done = self._when_done, None
        if when_done is not None:
            when_done(self)

    def call_when_done(self, func: Callable[[Job], None]) -> None:
        """Have `func` called with the job once it is done, however it ends: at once if it is."""
        if self.is_done:
            func(self)
        else:
            self._when_done = func

    def take_error(self) -> BaseException | None:
        """What it raised. The job forgets it: its traceback may lead back here."""
        error, self._error = self._error, None
        return error

    def outcome(self) -> Any:
        __traceback_hide__ = True
        error = self.take_error()
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error, self


class TaskLane:
    """Awaits one thing after the other in one task and in one context, for sync code on one thread at a time.

    Args:
        host: The loop, or `None` for the one in which `async_to_sync` would run a coroutine at the first
        step.
        is_over: Whether the task has nothing to do any more, looked at after each step.
        interrupt: What to do when the task is cancelled while it waits for a step: a timeout has expired, or
            the loop is being closed. The next step has the outcome of it.
    """

    def __init__(
        self,
        host: Host | None,
        is_over: Callable[[], bool],
        interrupt: Callable[[asyncio.CancelledError], Awaitable[Any]],
    ) -> None:
        self._host = host
        self._owns_host = host is None
        self._is_over = is_over
        self._interrupt = interrupt
        self._task: asyncio.Task[None] | None = None
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._wanted: asyncio.Future[None] | None = None
        self._interrupted: Job | None = None
        self._is_abandoned = False
        self._crossing: AsyncToSync[..., Any] | None = None
        self._context: LastingContext
        self.loop: asyncio.AbstractEventLoop | None = None

    # On the calling thread

    def begin(self) -> None:
        """Choose the loop, and keep the caller's context variables."""
        if self._host is None:
            self._host = host_for_this_call()
        self._context = LastingContext()
        # Not a method of its own, which would be a cycle.
        self._crossing = self.crossing(TaskLane._perform)

    def crossing(self, func: Callable[..., Any]) -> AsyncToSync[..., Any]:
        """`func` as a sync function that runs in the lane's loop."""
        assert self._host is not None
        return AsyncToSync(func, host=self._host)

    def run(self, func: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Await `func(*args)` in the task, and wait for it."""
        __traceback_hide__ = True
        if self._crossing is None:
            self.begin()
        assert self._crossing is not None
        try:
            step = Step(func, args)
            del func, args
            return self._crossing(self, step)
        finally:
            self._context.hand_out()

    def release(self) -> None:
        """No more steps will come."""
        if self._owns_host and self._host is not None:
            self._host.release()

    def abandon(self, func: Callable[[], Awaitable[Any]]) -> None:
        """Have `func` awaited as the last step, and wait for nothing. From any thread, finalizers too."""
        # What it holds leads back here: there must be nobody who comes for it.
        self._is_abandoned, self._interrupted = True, None
        if self.loop is None:
            self.release()
            return
        try:
            self.loop.call_soon_threadsafe(self._abandon, func)
        except RuntimeError:
            pass  # closed, and the task has ended with it

    # On the loop

    def _abandon(self, func: Callable[[], Awaitable[Any]]) -> None:
        task = self._task
        if task is None or task.done():
            self.release()
            return
        task.add_done_callback(lambda _: self.release())
        self.post(func)

    def post(self, func: Callable[..., Awaitable[Any]], callers: Context | None = None, *args: Any) -> Job:
        """Ask the task to await `func(*args)`."""
        if self._task is None:
            self.loop = asyncio.get_running_loop()
            self._task = self.loop.create_task(self._drive(), context=self._context.context)
            self._task.add_done_callback(self._ended)
        elif asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("This began in another event loop, which has ended.")
        job = Job(func, args, callers)
        if self._task.done():
            self._finish_late(job)
            return job
        self._jobs.append(job)
        wake(self._wanted)
        return job

    def cancel(self) -> None:
        """Cancel what the task awaits."""
        if self._task is not None:
            self._task.cancel()

    async def _perform(self, step: Step) -> Any:
        """In the task of the frame that waits."""
        __traceback_hide__ = True
        func, args = step.take()
        job = self.post(func, copy_context(), *args)
        del func, args
        await self.until(job)
        try:
            return job.outcome()
        finally:
            del job

    async def until(self, job: Job) -> None:
        """Wait for a job; a cancellation is passed on to it."""
        while not job.is_done:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            job.call_when_done(partial(_wake_after, waiter))
            try:
                await waiter
            except asyncio.CancelledError:
                self.cancel()

    async def _drive(self) -> None:
        """The task."""
        while self._jobs or not self._is_over():
            if not self._jobs:
                self._wanted = asyncio.get_running_loop().create_future()
                try:
                    await self._wanted
                except asyncio.CancelledError as cancelled:
                    await self._interrupt_now(cancelled)
                    return
                continue
            self._current = self._jobs.popleft()
            was_cancelled = await self._do(self._current)
            self._current = None
            if was_cancelled and not self._jobs:
                return

    async def _do(self, job: Job) -> bool:
        if job.callers is not None:
            self._context.arrive(job.callers)
            job.callers = None
        args, job.args = job.args, ()
        try:
            result = await job.func(*args)
        except BaseException as error:
            self._context.depart()
            job.finish(None, without_our_frames(error))
            return isinstance(error, asyncio.CancelledError)
        else:
            self._context.depart()
            job.finish(result, None)
            return False
        finally:
            del args, job

    async def _interrupt_now(self, cancelled: asyncio.CancelledError) -> None:
        outcome = Job(self._interrupt, (cancelled,), None)
        del cancelled
        await self._do(outcome)
        if not self._is_abandoned:
            self._interrupted = outcome
        del outcome  # it has the exception, whose traceback leads here

    def _ended(self, _: asyncio.Task[None]) -> None:
        """The task is done; one that is cancelled before its first step does nothing at all."""
        for job in (self._current, *self._jobs):
            if job is not None and not job.is_done:
                self._finish_late(job)
        self._current = None
        self._jobs.clear()

    def _finish_late(self, job: Job) -> None:
        outcome, self._interrupted = self._interrupted, None
        if outcome is None:
            job.finish(None, asyncio.CancelledError("the task was cancelled before"))
        else:
            job.finish(outcome.result, outcome.take_error())


def _wake_after(waiter: asyncio.Future[None], _: Job) -> None:
    wake(waiter)


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Let the task go on that waits, if one does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
