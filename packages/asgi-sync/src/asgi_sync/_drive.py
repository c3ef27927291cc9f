"""The coroutine that runs the wrapped callable for a waiting frame, in the frame's event loop."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from asgi_local.lowlevel import CONTEXT_IS_INHERITED

from ._call import without_our_frames
from ._context import arrived
from ._state import public_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context

    from ._frame import Frame


class Drive:
    """Call the callable in the loop, await what it returns and give the frame the outcome."""

    __slots__ = ("_args", "_awaitable", "_exception", "_kwargs")

    def __init__(
        self,
        awaitable: Callable[..., Awaitable[Any]],
        exception: BaseException | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._awaitable = awaitable
        self._exception = exception
        self._args = args
        self._kwargs = kwargs

    async def __call__(self, frame: Frame) -> None:
        __traceback_hide__ = True
        if CONTEXT_IS_INHERITED:
            frame.baseline = arrived()
        made = None
        try:
            made = awaitable = self._awaitable(*self._args, **self._kwargs)
            if self._exception is not None:
                awaitable = await_while_handling(self._exception, awaitable)
            result = await awaitable
        except BaseException as error:
            if type(error) is TypeError:
                _explain(error, made)
            frame.finish(None, without_our_frames(error))
        else:
            frame.finish(result, None)

    def close(self) -> None:
        """Nothing to do for a coroutine that was never started: it is made in the loop."""


class ClassicDrive:
    """The same through `main_wrap`, for whoever overrides it: called on the waiting thread, it completes a future."""

    __slots__ = ("_awaitable", "_call_result", "_coroutine")

    def prepare(
        self, wrapper: Any, exception: BaseException | None, context: Context, args: Any, kwargs: Any
    ) -> None:
        self._call_result: Future[Any] = Future()
        self._awaitable = _call_and_await(wrapper.awaitable, args, kwargs)
        exc_info = (
            (None, None, None) if exception is None else (type(exception), exception, exception.__traceback__)
        )
        tasks = getattr(public_thread, "task_context", None)
        self._coroutine: Coroutine[Any, Any, None] = wrapper.main_wrap(
            self._call_result, exc_info, tasks, [context], self._awaitable
        )

    async def __call__(self, frame: Frame) -> None:
        __traceback_hide__ = True
        if CONTEXT_IS_INHERITED:
            frame.baseline = arrived()
        try:
            await self._coroutine
            result = self._call_result.result(timeout=0)
        except BaseException as error:
            frame.finish(None, without_our_frames(error))
        else:
            frame.finish(result, None)

    def close(self) -> None:
        """Close what was never started, which would warn otherwise."""
        self._coroutine.close()
        self._awaitable.close()


def _explain(error: TypeError, made: object) -> None:
    """Say what to do with what was called for an awaitable and gave something else."""
    kind = type(made)
    if not hasattr(kind, "__await__"):
        if hasattr(kind, "__aiter__"):
            error.add_note(f"{made!r} can be iterated over: use async_to_sync_iterator.")
        elif hasattr(kind, "__aenter__"):
            error.add_note(f"{made!r} can be entered: use async_to_sync_context_manager.")


async def _call_and_await(awaitable: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
    return await awaitable(*args, **kwargs)


async def await_while_handling(exception: BaseException, awaitable: Awaitable[Any]) -> Any:
    """Await while `exception` is being handled, so that `sys.exc_info()` shows it as on the other side."""
    traceback, context = exception.__traceback__, exception.__context__
    try:
        try:
            raise exception
        except BaseException as handled:
            # See while_handling: to raise it here must leave no trace in it.
            handled.__traceback__ = traceback
            handled.__context__ = context
            return await awaitable
    finally:
        del exception, traceback, context
