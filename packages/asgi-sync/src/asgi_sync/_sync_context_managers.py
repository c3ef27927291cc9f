"""Use sync context managers in async code: entered and left on one thread."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from ._sync_to_async import SyncToAsync
from ._thread_lane import ThreadLane

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R", covariant=True)


class _Manager:
    """A sync context manager, on its thread."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._is_entered = False

    def __repr__(self) -> str:
        return repr(self._manager)

    def enter(self) -> Any:
        __traceback_hide__ = True
        kind = cast("Any", type(self._manager))
        kind.__exit__  # noqa: B018 - as the with statement has it: looked up before anything is entered
        value = kind.__enter__(self._manager)
        self._is_entered = True
        return value

    def exit(self, error: BaseException | None) -> Any:
        """Leave it, if it is entered: does nothing the second time."""
        __traceback_hide__ = True
        if not self._is_entered:
            return None
        self._is_entered = False
        try:
            kind = None if error is None else type(error)
            traceback = None if error is None else error.__traceback__
            return cast("Any", type(self._manager)).__exit__(self._manager, kind, error, traceback)
        finally:
            del error, self


class ThreadContextManager(AbstractAsyncContextManager[T_co, "bool | None"]):
    """What enters and leaves a sync context manager from async code."""

    def __init__(
        self,
        manager: AbstractContextManager[T_co, Any],
        *,
        thread_sensitive: bool,
        executor: Executor | None,
        abandon_on_cancel: bool,
    ) -> None:
        self._manager = _Manager(manager)
        self._lane_options = (thread_sensitive, executor, abandon_on_cancel)
        self._lane: ThreadLane | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._manager!r}>"

    async def __aenter__(self) -> T_co:
        __traceback_hide__ = True
        if self._lane is not None:
            raise RuntimeError(f"{self!r} is entered already")
        self._lane = lane = ThreadLane(*self._lane_options)
        try:
            value: T_co = await lane.run(self._manager.enter)
        except asyncio.CancelledError as cancelled:
            # It may be entered all the same, or will be in a moment.
            try:
                await self._leave_in_any_case(cancelled, wait=not lane.abandon_on_cancel)
            finally:
                del self
            raise
        except BaseException:
            self._release()
            raise
        return value

    async def _leave_in_any_case(self, error: BaseException, wait: bool) -> None:
        lane = self._lane
        assert lane is not None
        leave = functools.partial(self._manager.exit, error)
        try:
            if wait:
                await lane.run_in_any_case(leave)
            else:
                lane.order(leave)
        finally:
            self._release()
            del error, leave

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        __traceback_hide__ = True
        lane = self._lane
        if lane is None:
            raise RuntimeError(f"{self!r} is not entered")
        leave = functools.partial(self._manager.exit, exc)
        try:
            return bool(await lane.run_in_any_case(leave))
        finally:
            self._release()
            del exc, tb, leave  # the traceback of what is raised holds this frame

    def _release(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.release()


class ContextManagerCall(ThreadContextManager[T_co], Coroutine[Any, Any, R], Generic[T_co, R]):
    """A call of a wrapped `contextmanager` function: enter it, or await the plain context manager."""

    def __init__(self, manager: Any, call: Callable[[], Coroutine[Any, Any, R]], **options: Any) -> None:
        super().__init__(manager, **options)
        self._call = call
        self._coroutine: Any = None

    def _awaited(self) -> Coroutine[Any, Any, R]:
        if self._coroutine is None:
            self._coroutine = self._call()
        return self._coroutine  # type: ignore[no-any-return]  # made by _call

    def __await__(self) -> Generator[Any, Any, R]:
        return self._awaited().__await__()

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        return self._awaited().send(value)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """As of a coroutine."""
        error = typ if val is None else val
        return self._awaited().throw(error if tb is None else error.with_traceback(tb))

    def close(self) -> None:
        """As of a coroutine."""
        if self._coroutine is not None:
            self._coroutine.close()


class ContextManagerToAsync(SyncToAsync[P, Any]):
    """A `contextlib.contextmanager` function whose calls are entered from async code."""

    def __init__(self, func: Callable[P, Any], **options: Any) -> None:
        super().__init__(func, **options)
        if self.context is not None:
            raise TypeError(
                "context must not be set for a context manager: its block has a context for its life"
            )
        self._options: Any = {
            "thread_sensitive": self._thread_sensitive,
            "executor": self._executor,
            "abandon_on_cancel": self._abandon_on_cancel,
        }

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Make the context manager, of which nothing runs yet: use what this returns with `async with`."""
        __traceback_hide__ = True
        call = super().__call__
        made: Any = self.func(*args, **kwargs)
        return ContextManagerCall[Any, Any](made, lambda: call(*args, **kwargs), **self._options)


def sync_to_async_context_manager(
    manager: AbstractContextManager[T, Any],
    *,
    thread_sensitive: bool = True,
    executor: Executor | None = None,
    abandon_on_cancel: bool = True,
) -> AbstractAsyncContextManager[T, bool | None]:
    """Use a sync context manager with `async with`.

    It is entered and left on the same thread and in one copy of the context: what it sets on entering, the
    block sees, and it can reset it with its token on leaving. Once entered it is left, whatever is cancelled
    meanwhile.

    Args:
        manager: The context manager.
        thread_sensitive: As in `sync_to_async`. With `False` it has a thread of its own, or of the
            executor's, until it is left.
        executor: As in `sync_to_async`, with `thread_sensitive=False`.
        abandon_on_cancel: Whether a task that is cancelled while the thread enters or leaves goes on at once,
        or waits.

    Returns:
        An async context manager that gives what `manager` gives, and suppresses the exceptions that it
        suppresses. Can be entered again if `manager` can.

    Raises:
        TypeError: If `manager` is no context manager.

    >>> import asyncio, threading
    >>> from asgi_sync import sync_to_async_context_manager
    >>> async def main():
    ...     lock = threading.RLock()  # only the thread that has locked it can unlock it
    ...     async with sync_to_async_context_manager(lock):
    ...         print("locked")
    >>> asyncio.run(main())
    locked
    """
    if not (hasattr(type(manager), "__enter__") and hasattr(type(manager), "__exit__")):
        raise TypeError(f"sync_to_async_context_manager takes a context manager, not {manager!r}")
    if thread_sensitive and executor is not None:
        raise TypeError("executor must not be set when thread_sensitive is True")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    return ThreadContextManager(
        manager, thread_sensitive=thread_sensitive, executor=executor, abandon_on_cancel=abandon_on_cancel
    )
