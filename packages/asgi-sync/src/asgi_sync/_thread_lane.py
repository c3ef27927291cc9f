"""One thread for the whole life of something that is resumed from async code, step by step."""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ._call import describe, without_our_frames
from ._classic_call import on_thread
from ._frame import SubmittedWork
from ._home import Home
from ._lasting_context import LastingContext
from ._parked import GoneError, park
from ._state import process
from ._steps import Step
from ._sync_to_async import SyncToAsync
from ._worker import ContextExecutor, own_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

logger = logging.getLogger("asgi_sync")


class _Step(SyncToAsync[Any, Any]):
    """The crossing of one step: to the lane's place, whatever the place of other calls is by then."""

    def __init__(self, lane: ThreadLane, thread_sensitive: bool, abandon_on_cancel: bool) -> None:
        super().__init__(perform, thread_sensitive, abandon_on_cancel=abandon_on_cancel)
        self._lane = weakref.ref(lane)  # which has the step: a cycle otherwise

    def _place(self, loop: asyncio.AbstractEventLoop) -> Any:
        lane: Any = self._lane()  # there: it makes this call
        place = lane.place
        if not self._thread_sensitive:
            return place_that_is_there(place)
        if place is None or (not lane.has_begun and isinstance(place, Home) and not place.is_open):
            place = lane.place = super()._place(loop)
            if place is None:
                # The loop's default executor is a pool: what is sensitive needs one thread.
                place = lane.place = lane.borrow().home()
        return place_that_is_there(place)


class ThreadLane:
    """Runs functions one after the other on one thread and in one context. Used by one task at a time.

    The thread is chosen with the first step. A sensitive lane runs on the thread that sensitive code of its
    first caller runs on, another one on a thread that it borrows, or occupies one of its executor's.
    """

    def __init__(self, thread_sensitive: bool, executor: Executor | None, abandon_on_cancel: bool) -> None:
        self.abandon_on_cancel = abandon_on_cancel
        #: A `Home`, or a foreign executor that has one thread.
        self.place: Any = None
        self.has_begun = False
        self._executor = executor
        self._step = _Step(self, thread_sensitive, abandon_on_cancel)
        self._sensitive = thread_sensitive
        self._borrowed: Any = None
        self._generation = process.generation
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: LastingContext

    def borrow(self) -> ContextExecutor:
        self._borrowed = borrowed = ContextExecutor()
        return borrowed

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = LastingContext()
        if self._sensitive:
            return
        executor = self._executor
        if executor is None:
            self.place = self.borrow().home()
        elif own_home(executor) is not None:
            self.place = own_home(executor)
        else:
            self._borrowed = park(executor)
            self.place = self._borrowed or executor
        self._step._executor = self.place

    @property
    def others_wait(self) -> bool:
        """Whether other work waits for the thread."""
        return isinstance(self.place, Home) and self.place.waiting > 0

    async def run(self, func: Callable[..., Any], *args: Any) -> Any:
        """Call `func` on the thread, in the context. Cancelling does as the lane's policy is."""
        __traceback_hide__ = True
        if self._loop is None:
            self._begin()
        if not self._sensitive:
            place_that_is_there(self.place)
        step = Step(func, args)
        del func, args
        result = await self._step(self, step)
        self._context.hand_out()
        if isinstance(result, Failure):
            error, result.error = result.error, None
            try:
                raise error
            finally:
                del error, self
        return result

    async def run_in_any_case(self, func: Callable[[], Any]) -> Any:
        """The same for what must be done even if the task is cancelled, and does nothing the second time."""
        __traceback_hide__ = True
        if self.place is None:
            return func()  # nothing has begun anywhere
        try:
            return await self.run(func)
        except asyncio.CancelledError:
            future = self.order(func)
            if not self.abandon_on_cancel:
                await finish_waiting(future)
            raise
        except GoneError:
            return await asyncio.wrap_future(self.order(func))

    def order(self, func: Callable[[], Any]) -> Future[Any]:
        """Have `func` called after all that is queued, and wait for nothing. From any thread, finalizers too.

        If the thread has gone, it is called where sensitive code goes that has no better place.
        """
        work = SubmittedWork(self._do_order, (func,), {})
        place = self.place
        if isinstance(place, Home):
            if place.submit(work):
                return work.future
        elif place is not None:
            try:
                future: Future[Any] = place.submit(self._do_order, func)
            except RuntimeError:
                pass  # it was shut down
            else:
                return future
        submit: Any = SyncToAsync.single_thread_executor.submit
        late: Future[Any] = submit(self._do_order, func)
        return late

    def _do_order(self, func: Callable[[], Any]) -> Any:
        try:
            if self._loop is None:
                return func()
            run = self._context.run
            return on_thread(self._loop, None, None, None, run, (copy_context(), func), {})
        except BaseException as error:
            self._report(func, error)
            del self
            raise

    def _report(self, func: Callable[[], Any], error: BaseException) -> None:
        message = f"{describe(func)} failed after the task that waited for it was cancelled, or had gone"
        try:
            assert self._loop is not None
            details = {"message": message, "exception": error}
            self._loop.call_soon_threadsafe(self._loop.call_exception_handler, details)
        except RuntimeError:  # the loop is closed
            logger.error("%s", message, exc_info=error)

    def release(self) -> None:
        """No more steps will come: what is queued is done, then the thread is free. From any thread."""
        if self._borrowed is not None:
            self._borrowed.give_back()

    @property
    def is_inherited(self) -> bool:
        """Whether it was made in the process that this one was forked from."""
        return self._generation is not process.generation


class Failure:
    """An exception as a result: the step comes back in any case, and its context variables with it."""

    def __init__(self, error: BaseException) -> None:
        self.error: Any = error


def perform(lane: ThreadLane, step: Step) -> Any:
    """One step, on the thread, in a copy of its caller's context."""
    lane.has_begun = True
    func, args = step.take()
    try:
        return lane._context.run(copy_context(), func, *args)
    except BaseException as error:
        return Failure(without_our_frames(error))
    finally:
        del func, args


def place_that_is_there(place: Any) -> Any:
    if isinstance(place, Home) and not place.is_open:
        raise GoneError(
            "The thread that this began on has gone: whoever waited in async_to_sync on it has returned, "
            "its executor is shut down, or the process has forked."
        )
    return place


async def finish_waiting(future: Future[Any]) -> None:
    """Wait until it is done; a cancellation has to wait as well."""
    waited = asyncio.wrap_future(future)
    while not waited.done():
        try:
            await asyncio.wait((waited,))
        except asyncio.CancelledError:
            continue
    waited.exception()
