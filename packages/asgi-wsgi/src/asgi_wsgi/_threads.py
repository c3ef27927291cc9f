"""Where the application runs: a pool of this adapter, an executor, or the thread-sensitive thread."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from asgi_sync import SyncToAsync, sync_to_async
from asgi_sync.lowlevel import CarriedContext, resume

from ._error_log import log
from ._errors import LoopGone
from ._waiting import SensitiveGate, ThreadGate
from ._worker_pool import PATIENCE, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from ._application_run import ApplicationRun
    from ._mailbox import Mailbox
    from ._outbox import Outbox
    from ._waiting import MakeGate


class Threads(Protocol):
    """A place for application runs."""

    # Whether the thread is others' as well: nothing may wait there for a client that can be avoided.
    are_borrowed: bool

    def gates(self, loop: asyncio.AbstractEventLoop) -> MakeGate:
        """Return what makes the gates that the application's thread waits at."""
        ...

    async def perform(self, run: ApplicationRun, outbox: Outbox, mailbox: Mailbox) -> None:
        """Run the application to its end. Context variables that it sets come back to the calling task.

        When this is cancelled the run is aborted, and what is left to do is done without anybody waiting.
        """
        ...

    def end_idle(self) -> None:
        """Let go of threads that have nothing to do."""
        ...


class FreeThreads:
    """Threads of a pool or an executor: each run has one of them from its beginning to its end."""

    are_borrowed = False

    def __init__(self, executor: Executor | None, pool: WorkerPool | None) -> None:
        self._executor = executor
        self._pool = pool
        self._make_gate = partial(ThreadGate, pool)

    def gates(self, loop: asyncio.AbstractEventLoop) -> MakeGate:
        return self._make_gate

    async def perform(self, run: ApplicationRun, outbox: Outbox, mailbox: Mailbox) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        context = CarriedContext()

        def tell() -> None:
            if not ended.done():
                resume(loop, ended)

        def job() -> Callable[[], None]:
            context.run(self._run_through, run, outbox, loop)
            return post_end

        def post_end() -> None:
            try:
                mailbox.post(tell)
            except LoopGone:
                run.orphan()

        if self._pool is not None:
            if self._pool.submit(job) and not mailbox.is_watching:
                mailbox.is_watching = True
                loop.call_later(PATIENCE, self._start_overdue, loop, mailbox)
        elif self._executor is not None:
            # An executor that is shut down may drop what it was given.
            submitted: Future[None] = self._executor.submit(lambda: job()())
            submitted.add_done_callback(lambda future: post_end() if future.cancelled() else None)
        try:
            await ended
        except BaseException:
            outbox.abort()
            raise
        if not run.started:
            raise RuntimeError(
                "the executor dropped the request: it was shut down before the application ran"
            )
        context.bring_back()

    def _run_through(self, run: ApplicationRun, outbox: Outbox, loop: asyncio.AbstractEventLoop) -> None:
        # What async_to_sync reads to find the loop that this thread works for.
        threadlocal: Any = SyncToAsync.threadlocal
        threadlocal.main_event_loop = loop
        threadlocal.main_event_loop_pid = os.getpid()
        try:
            while not run.advance():
                outbox.wait_for_room(self._make_gate)
        finally:
            threadlocal.main_event_loop = None

    def _start_overdue(self, loop: asyncio.AbstractEventLoop, mailbox: Mailbox) -> None:
        if self._pool is not None and self._pool.start_overdue():
            loop.call_later(PATIENCE, self._start_overdue, loop, mailbox)
        else:
            mailbox.is_watching = False

    def end_idle(self) -> None:
        if self._pool is not None:
            self._pool.end_idle_threads()


def _advance_for(application: Callable[..., Any]) -> Callable[[ApplicationRun], bool]:
    def advance(run: ApplicationRun) -> bool:
        return run.advance()

    # Recordings and warnings of asgi_sync name what runs: for a reader that is the application.
    while isinstance(application, partial):
        application = application.func
    named: Any = application if hasattr(application, "__qualname__") else type(application)
    advance.__module__, advance.__qualname__ = named.__module__, named.__qualname__
    return advance


class SensitiveThread:
    """The thread-sensitive thread of asgi_sync: one for the process, or for each ThreadSensitiveContext.

    It belongs to nobody: a run whose window is full leaves it, and visits it again when there is room. So one
    client that does not read its download stops nobody else.
    """

    are_borrowed = True

    def __init__(self, application: Callable[..., Any]) -> None:
        self._advance = sync_to_async(_advance_for(application), thread_sensitive=True)

    def gates(self, loop: asyncio.AbstractEventLoop) -> MakeGate:
        return partial(SensitiveGate, loop)

    async def perform(self, run: ApplicationRun, outbox: Outbox, mailbox: Mailbox) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        try:
            while not await self._advance(run):
                await outbox.room()
            if task is not None and task.cancelling() > cancelling:
                # Cancelling goes down to where sync code waits for a coroutine, and there it was caught.
                raise asyncio.CancelledError
        except BaseException:
            if outbox.abort():
                await self._close(run)
            raise

    async def _close(self, run: ApplicationRun) -> None:
        """Visit the thread once more, to close what a cancelled request has left open there."""
        closing = asyncio.ensure_future(self._advance(run))
        _closing.add(closing)
        closing.add_done_callback(_closed)
        await asyncio.shield(closing)

    def end_idle(self) -> None:
        pass


# Tasks that nobody may be waiting for any more: asyncio itself holds tasks weakly.
_closing: set[asyncio.Future[bool]] = set()


def _closed(closing: asyncio.Future[bool]) -> None:
    _closing.discard(closing)
    if not closing.cancelled() and closing.exception() is not None:
        log.error("closing a cancelled request failed", exc_info=closing.exception())


def threads_for(
    *, thread_sensitive: bool, executor: Executor | None, workers: int, application: Callable[..., Any]
) -> Threads:
    """Return the place that the options ask for. No thread is started by this."""
    if thread_sensitive:
        return SensitiveThread(application)
    if executor is not None:
        return FreeThreads(executor, None)
    return FreeThreads(None, WorkerPool(workers))
