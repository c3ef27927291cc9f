"""One sync call on its way from a task to a thread, and its outcome on the way back."""

from __future__ import annotations

import asyncio
import functools
import logging
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

from asgi_local.lowlevel import CONTEXT_IS_INHERITED

from ._context import arrived
from ._frame import Frame, waiting_frame
from ._inbox import inbox_of
from ._resume import resume
from ._state import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from ._home import Home
    from ._inbox import Inbox


logger = logging.getLogger("asgi_sync")


class Call:
    """A sync callable that a task waits for.

    The task makes it, a thread runs it, the loop settles it. All but `run`, `begin` and what `run` calls belongs to
    the loop's thread.
    """

    #: The foreign executor that was asked to run it, if any.
    executor: object = None
    #: The frame in which the call's own sync code waits for a coroutine at this moment.
    frame: Frame | None = None
    #: What became of it.
    result: Any = None
    error: BaseException | None = None
    #: The loop knows that it has ended.
    settled: bool = False
    #: The task does not wait for it any more.
    abandoned: bool = False
    #: A thread of ours runs it: for `thread_handler`, which must not ask again.
    taken: bool = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        exception: BaseException | None,
        sensitive: bool,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.loop = loop
        self.context = context
        #: The context as it was when the call began.
        self.baseline: Context = context.copy()
        #: What the caller was handling.
        self.exception = exception
        self.sensitive = sensitive
        #: The waiting frame whose coroutine makes this call, directly or not.
        self.outer_frame = waiting_frame.get()
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.future: asyncio.Future[Any] = loop.create_future()
        self.inbox: Inbox = inbox_of(loop)
        self._claim = allocate_lock()

    def __repr__(self) -> str:
        return f"<sync call of {describe(self.func)}>"

    # On the thread

    def begin(self) -> bool:
        """Whether the caller may run it now: it was not withdrawn, and no other thread took it."""
        return self._claim.acquire(False)

    @property
    def has_begun(self) -> bool:
        """Whether a thread runs it, or never will."""
        return self._claim.locked()

    def is_for(self, frame: object) -> bool:
        """Whether this waiting frame's own coroutine asks for it."""
        return self.outer_frame is frame

    def run(self, home: Home) -> None:
        """Run it, on the thread that was chosen, and tell the loop."""
        __traceback_hide__ = True
        if not self._claim.acquire(False):
            return
        values = home.values
        outer_call, outer_loop = home.call, values.get("main_event_loop")
        home.call = self
        values["main_event_loop"] = self.loop
        values["main_event_loop_pid"] = process.pid
        try:
            if self.exception is None and not CONTEXT_IS_INHERITED:
                self.result = self.context.run(self.func, *self.args, **self.kwargs)
            else:
                self.result = self._run_with_care()
        except BaseException as error:
            self.error = without_our_frames(error)
        # The thread may be somebody else's, a main thread that serves its own coroutine for one: a loop that stays
        # behind would be taken for a parent there (asgiref issues 525, 545).
        home.call = outer_call
        values["main_event_loop"] = outer_loop
        self.tell_loop()

    def tell_loop(self) -> None:
        """It has ended. From any thread."""
        try:
            self.inbox.post(self.loop, self.settle)
        except RuntimeError:
            # The loop is closed: nobody is waiting any more.
            if self.error is not None:
                logger.error("%r failed after its event loop was closed", self, exc_info=self.error)

    def _run_with_care(self) -> Any:
        __traceback_hide__ = True
        if self.exception is None:
            return self.context.run(self._arrive)
        return while_handling(self.exception, self.context.run, (self._arrive,), {})

    def _arrive(self) -> Any:
        __traceback_hide__ = True
        self.baseline = arrived()
        return self.func(*self.args, **self.kwargs)

    # On the loop

    def settle(self) -> None:
        """The thread has done its part."""
        self.settled = True
        loop, future = self.loop, self.future
        if not future.done():
            # An exception that the task ends with leads to this frame, which must not lead to the call.
            del self
            resume(loop, future)
        elif self.abandoned and self.error is not None and not isinstance(self.error, asyncio.CancelledError):
            self.loop.call_exception_handler(
                {
                    "message": f"{describe(self.func)} failed after the task that waited for it was cancelled",
                    "exception": self.take_error(),
                }
            )

    def withdraw(self) -> bool:
        """Take it back; `False` if a thread has begun it."""
        return self.begin()

    def fail(self, error: BaseException) -> None:
        """It will not be run. From any thread."""
        if self.begin():
            self.error = error
            self.tell_loop()

    def release(self) -> None:
        """Nobody waits any more: break the cycles in which the call is."""
        self.frame = self.outer_frame = None
        del self.context

    async def outcome_after_cancel(self, cancelled: asyncio.CancelledError, abandon: bool) -> None:
        """The task was cancelled while it waited: pass that on, abandon the call or wait for it.

        Returns if what becomes of the cancellation is the sync code's to decide, and it has ended; else raises.
        """
        __traceback_hide__ = True
        try:
            while True:
                if self.settled or self.withdraw():
                    raise cancelled
                passed_on = self.frame is not None and self.frame.cancel()
                if not passed_on and abandon:
                    self.abandoned = True
                    raise cancelled
                self.future = self.loop.create_future()
                try:
                    await self.future
                except asyncio.CancelledError as again:
                    cancelled = again
                    continue
                if passed_on:
                    return
                raise cancelled from self.take_error()
        finally:
            del cancelled, self  # the traceback of what is raised holds this frame

    def take_error(self) -> BaseException | None:
        """What the sync code raised. The call forgets it: its traceback leads back here."""
        error, self.error = self.error, None
        return error


def while_handling(
    exception: BaseException, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call `func` while `exception` is being handled, so that `sys.exc_info()` shows it as on the other side."""
    __traceback_hide__ = True
    traceback, context = exception.__traceback__, exception.__context__
    try:
        try:
            raise exception
        except BaseException as handled:
            # It was raised long ago: to raise it here must not lengthen its traceback, nor chain it to whatever this
            # thread is handling.
            handled.__traceback__ = traceback
            handled.__context__ = context
            return func(*args, **kwargs)
    finally:
        del exception, traceback, context


def describe(func: Callable[..., Any]) -> str:
    """The callable's qualified name, for messages."""
    named: Any = func
    while isinstance(named, functools.partial):
        named = named.func
    name = getattr(named, "__qualname__", None)
    return f"{named.__module__}.{name}" if name else repr(func)


def without_our_frames(error: BaseException) -> BaseException:
    """The exception, with its traceback from where it left this package's own code.

    Those frames would show the user nothing, and keep alive what they refer to: calls, loops and threads.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__package__") == __package__:
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
