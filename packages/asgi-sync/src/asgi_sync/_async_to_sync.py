"""Call async code and wait for it, from sync code: what `async_to_sync` makes of a plain coroutine function."""

from __future__ import annotations

import asyncio
import warnings
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from asgi_local.lowlevel import depart

from ._call import describe
from ._context import write_back
from ._drive import ClassicDrive, Drive, await_while_handling
from ._frame import Frame, loop_thread_executors, waiting_frame
from ._home import exception_to_pass_on
from ._listeners import Observed, listeners
from ._marks import calls_coroutine
from ._scopes import AsyncSingleThreadContext, async_single_thread_context, executors
from ._waiting import run_and_wait
from ._wrapping import Wrapper, adopt_metadata, bind, callers_stacklevel, function_of, hide_annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Executor, Future
    from contextvars import Context

    from asgi_local import Local

    from ._hosts import Host

P = ParamSpec("P")
R = TypeVar("R")


@hide_annotations
class AsyncToSync(Wrapper, Generic[P, R]):
    """An async callable as a sync function: what `async_to_sync` returns, with the same arguments.

    The hooks and class attributes are asgiref's. Each call looks at them: a subclass or a patch may override
    `__call__` and `main_wrap`.
    """

    #: `current` is the frame that waits for the running code, or what was put in its place: any executor, or `None`.
    executors: ClassVar[Local] = executors
    #: By event loop: where sensitive code of its tasks goes when their context knows of no frame.
    loop_thread_executors: ClassVar[dict[asyncio.AbstractEventLoop, Executor]] = loop_thread_executors
    #: The `AsyncSingleThreadContext` that the running code is in.
    async_single_thread_context: ClassVar[ContextVar[AsyncSingleThreadContext | None]] = (
        async_single_thread_context
    )

    _host: Host | None = None

    def __init__(
        self,
        awaitable: Callable[P, Coroutine[Any, Any, R]] | Callable[P, Awaitable[R]],
        force_new_loop: bool = False,
        *,
        host: Any = None,
        gives_awaitable: bool = True,
    ) -> None:
        called: Any = function_of(awaitable)
        if gives_awaitable and not calls_coroutine(called):
            if asyncio.iscoroutine(called):
                raise TypeError(
                    f"async_to_sync takes a function that returns an awaitable, not the coroutine {called!r}: "
                    "write async_to_sync(function)(arguments)"
                )
            # Only a warning: what returns an awaitable need not be marked.
            warnings.warn(
                "async_to_sync was passed a non-async-marked callable", stacklevel=callers_stacklevel()
            )
        adopt_metadata(self, awaitable)
        self.awaitable = called
        self.force_new_loop = force_new_loop
        if host is not None:
            self._host = host

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function in an event loop and wait until it has ended.

        Returns or raises what the function does. Ctrl-C, in the main thread, cancels the function first.

        Raises:
            RuntimeError: On the thread of a running event loop, which would wait for itself; or when the loop that
                the function runs in stops before it has ended.
        """
        __traceback_hide__ = True
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "You cannot use AsyncToSync in the same thread as an async event loop - "
                "just await the async function directly."
            )
        if listeners and not isinstance(self, Observed):
            from ._observe import observed_async_to_sync  # which stands on this module

            return observed_async_to_sync(self, args, kwargs)  # type: ignore[no-any-return]  # R, by P
        current = getattr(executors, "current", None)
        # Looked up at each call: whoever replaces the hook must be asked.
        kind: Any = type(self)
        is_plain = kind.main_wrap is _MAIN_WRAP and "main_wrap" not in vars(self)
        exception = exception_to_pass_on()
        drive: Any = Drive(self.awaitable, exception, args, kwargs) if is_plain else ClassicDrive()
        frame = Frame(current, drive, self.force_new_loop)
        if self._host is not None:
            frame.host = self._host
        try:
            frame.context = context = copy_context()
            context.run(_enter, frame)
            frame.baseline = context.copy()
            if not is_plain:
                drive.prepare(self, exception, context, args, kwargs)
            run_and_wait(frame)
            if (
                write_back(frame.context, frame.baseline)
                and getattr(executors, "current", None) is not current
            ):
                executors.current = current
            return frame.outcome()  # type: ignore[no-any-return]  # R, by P
        finally:
            frame.release()
            drive.close()
            # The traceback of what is raised holds this frame: no cycle may hold the exception.
            del drive, frame, exception

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., R]:
        return bind(self, self.__wrapped__, instance, owner)  # type: ignore[no-any-return]  # a partial of __call__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {describe(self.awaitable)}>"

    async def main_wrap(
        self,
        call_result: Future[R],
        exc_info: Any,
        task_context: list[asyncio.Task[Any]] | None,
        context: list[Context],
        awaitable: Awaitable[R],
    ) -> None:
        """Await the function's awaitable and complete `call_result` with what comes of it.

        Called on the thread that waits; the coroutine that it returns runs in the event loop. `context[0]` is the
        context that it runs in, and afterwards that context with what it has set.
        """
        __traceback_hide__ = True
        task = asyncio.current_task()
        if task is not None and task_context is not None:
            task_context.append(task)
        try:
            result = await (
                awaitable if exc_info[1] is None else await_while_handling(exc_info[1], awaitable)
            )
        except BaseException as error:
            call_result.set_exception(error)
        else:
            call_result.set_result(result)
        finally:
            if task is not None and task_context is not None:
                task_context.remove(task)
            context[0] = copy_context()


_MAIN_WRAP = vars(AsyncToSync)["main_wrap"]
_CALL = vars(AsyncToSync)["__call__"]


def _enter(frame: Frame) -> None:
    """In the context that the coroutine will run in: this frame is where its sensitive code belongs."""
    depart()
    executors.current = frame
    waiting_frame.set(frame)
