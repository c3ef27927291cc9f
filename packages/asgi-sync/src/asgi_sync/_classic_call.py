"""A sync call in the shape that asgiref gives it, for executors and handlers that are not this package's own."""

from __future__ import annotations

import asyncio
import functools
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from asgi_local.lowlevel import CONTEXT_IS_INHERITED

from ._call import Call, while_handling, without_our_frames
from ._context import arrived
from ._home import home_of_this_thread
from ._state import process
from ._thread_pools import default_executor

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._home import Home


class Tasks(list["asyncio.Task[Any]"]):
    """The `task_context` of the classic hooks: the tasks that run for a call's sync code, innermost last."""

    def __init__(self, call: Call | None = None) -> None:
        super().__init__()
        self.call = call


class HandledCall(Call):
    """A call in asgiref's classic shape.

    Whoever overrides `thread_handler`, and every executor that is not this package's own, is given what asgiref gives:
    a bound `Context.run` and, to run in it, a partial of the callable.
    """

    _handler: Any = None
    _job: Any = None
    #: The thread that was lent and takes it from the executor.
    _taker: int | None = None

    def prepare(self, thread_handler: Callable[..., Any], exc_info: Any) -> None:
        child = functools.partial(self.func, *self.args, **self.kwargs)
        run = self._function_that_arrives() if CONTEXT_IS_INHERITED else self.context.run
        self._handler = functools.partial(thread_handler, self.loop, exc_info, Tasks(self), run, child)

    def run(self, home: Home) -> None:
        """Run it on one of our threads, which may be lent by a waiting frame if the executor is slower."""
        __traceback_hide__ = True
        job = self._job
        if job is not None:
            # First of all: otherwise a thread of the executor that gets free meanwhile would run it, too.
            self._taker = get_ident()
            if not job.cancel():
                return
        if not self.begin():
            return
        self.taken = True
        try:
            self.result = self._handler()
        except BaseException as error:
            self.error = without_our_frames(error)
        self.tell_loop()

    def release(self) -> None:
        super().release()
        self._handler = self._job = None

    def submit_to(self, executor: Any) -> None:
        """Have a foreign executor run it; `None` stands for the loop's default one."""
        self.executor = executor
        if executor is None:
            job: Any = self.loop.run_in_executor(None, self._handler)
            self.executor = default_executor(self.loop)
        else:
            job = executor.submit(self._handler)
        self._job = job
        job.add_done_callback(self._job_done)

    def withdraw(self) -> bool:
        if not self.begin():
            return False
        if self._job is not None and not self._job.cancel():
            return False  # a handler runs it without asking us
        self.settled = True
        return True

    def _job_done(self, job: Any) -> None:
        """On the executor's thread, on the loop's, or on that of whoever cancels the job."""
        if not job.cancelled():
            error = job.exception()
            if error is None:
                self.result = job.result()
            else:
                self.error = without_our_frames(error)
                del error  # its traceback may hold this frame
            self.tell_loop()
        elif self._taker != get_ident():
            # By the executor's shutdown; or because it was withdrawn, or taken after that, and so claimed already.
            self.fail(asyncio.CancelledError())

    def _function_that_arrives(self) -> Callable[[Callable[[], Any]], Any]:
        def run_in_context(child: Callable[[], Any]) -> Any:
            __traceback_hide__ = True
            return self.context.run(arrive, child)

        def arrive(child: Callable[[], Any]) -> Any:
            __traceback_hide__ = True
            self.baseline = arrived()
            return child()

        # Profilers tell by the module whose function this is.
        run_in_context.__module__ = "asgiref.sync"
        return run_in_context


def on_thread(
    loop: asyncio.AbstractEventLoop,
    exception: BaseException | None,
    tasks: list[asyncio.Task[Any]] | None,
    call: Call | None,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """What `Call.run` does around the function, for a `thread_handler` on any thread."""
    __traceback_hide__ = True
    home = home_of_this_thread()
    values = home.values
    outer_call, outer_loop, outer_tasks = home.call, values.get("main_event_loop"), values.get("task_context")
    home.call = call
    values["main_event_loop"] = loop
    values["main_event_loop_pid"] = process.pid
    values["task_context"] = tasks
    try:
        if exception is None:
            return func(*args, **kwargs)
        return while_handling(exception, func, args, kwargs)
    finally:
        home.call = outer_call
        values["main_event_loop"] = outer_loop
        values["task_context"] = outer_tasks
