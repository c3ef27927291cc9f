"""Use async context managers in sync code: entered and left in one task."""

from __future__ import annotations

import threading
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from ._async_to_sync import AsyncToSync
from ._hosts import LoopGoneError
from ._task_lane import TaskLane

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from ._hosts import Host

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _AsyncManager:
    """One use of an async context manager, in its task."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._is_entered = False
        self.is_over = False

    async def enter(self) -> Any:
        __traceback_hide__ = True
        kind = cast("Any", type(self._manager))
        try:
            kind.__aexit__  # noqa: B018 - as the with statement has it: looked up before anything is entered
            value = await kind.__aenter__(self._manager)
        except BaseException:
            self.is_over = True
            raise
        self._is_entered = True
        return value

    async def exit(self, error: BaseException | None) -> Any:
        """Leave it, if it is entered: does nothing the second time."""
        __traceback_hide__ = True
        self.is_over = True
        if not self._is_entered:
            return None
        self._is_entered = False
        try:
            kind = None if error is None else type(error)
            traceback = None if error is None else error.__traceback__
            return await cast("Any", type(self._manager)).__aexit__(self._manager, kind, error, traceback)
        finally:
            del error, self

    async def interrupt(self, cancelled: asyncio.CancelledError) -> Any:
        """The task was cancelled while the block ran, as a timeout or a task group does: leave it now."""
        try:
            if not await self.exit(cancelled):
                raise cancelled
            return False  # the block's own exception, if there is one, goes on
        finally:
            del cancelled

    async def abandon(self) -> None:
        """The block's end will never come."""
        await self.exit(GeneratorExit())


class TaskContextManager(AbstractContextManager[T_co, "bool | None"]):
    """What enters and leaves an async context manager from sync code."""

    def __init__(self, manager: AbstractAsyncContextManager[T_co, Any], host: Host | None) -> None:
        self._manager = manager
        self._host = host
        self._lock = threading.Lock()
        self._used: tuple[TaskLane, _AsyncManager] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._manager!r}>"

    def __enter__(self) -> T_co:
        __traceback_hide__ = True
        manager = _AsyncManager(self._manager)
        lane = TaskLane(self._host, lambda: manager.is_over, manager.interrupt)
        with self._lock:
            if self._used is not None:
                raise RuntimeError(f"{self!r} is entered already")
            self._used = (lane, manager)
        try:
            value: T_co = lane.run(manager.enter)
        except BaseException:
            self._used = None
            if manager.is_over:
                lane.release()
            else:
                lane.abandon(manager.abandon)  # Ctrl-C, or cancelled: it may be entered all the same
            raise
        return value

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        __traceback_hide__ = True
        used, self._used = self._used, None
        if used is None:
            raise RuntimeError(f"{self!r} is not entered")
        lane, manager = used
        try:
            return bool(lane.run(manager.exit, exc))
        except LoopGoneError:
            if not manager.is_over:
                raise
            return False  # it was left when the loop was closed
        finally:
            if manager.is_over:
                lane.release()
            else:
                lane.abandon(manager.abandon)
            del exc, tb  # the traceback of what is raised holds this frame


class AsyncContextManagerToSync(AsyncToSync[P, Any]):
    """A `contextlib.asynccontextmanager` function whose calls are entered from sync code."""

    def __init__(self, awaitable: Callable[P, Any], *, host: Host | None = None) -> None:
        super().__init__(awaitable, host=host, gives_awaitable=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Make the context manager, of which nothing runs yet: use what this returns with `with`."""
        __traceback_hide__ = True
        return TaskContextManager(self.awaitable(*args, **kwargs), self._host)


def async_to_sync_context_manager(
    manager: AbstractAsyncContextManager[T, Any],
) -> AbstractContextManager[T, bool | None]:
    """Use an async context manager with `with`.

    It is entered and left in the same task and in one copy of the context, as `asyncio.timeout`, task groups
    and many clients need it. The loop is the one in which `async_to_sync` would run a coroutine; where no
    loop waits for the sync code, one of its own until it is left. To use a client that it gives, it has to be
    the loop of the calls as
    well: enter it in an `AsyncSingleThreadContext`, or with a `BlockingPortal`.

    A task that is cancelled while the block runs, by a timeout or a task group, leaves the context manager at
    once; the end of the block raises what comes of it.

    Args:
        manager: The async context manager.

    Returns:
        A context manager that gives what `manager` gives, and suppresses the exceptions that it suppresses.
        Can be entered again if `manager` can.

    Raises:
        TypeError: If `manager` is no async context manager.

    >>> import contextlib
    >>> from asgi_sync import async_to_sync_context_manager
    >>> @contextlib.asynccontextmanager
    ... async def connection():
    ...     yield "connected"
    ...     print("disconnected")
    >>> with async_to_sync_context_manager(connection()) as state:
    ...     print(state)
    connected
    disconnected
    """
    return enter_from_sync(manager, None)


def enter_from_sync(
    manager: AbstractAsyncContextManager[T, Any], host: Host | None
) -> AbstractContextManager[T, bool | None]:
    if not (hasattr(type(manager), "__aenter__") and hasattr(type(manager), "__aexit__")):
        raise TypeError(f"an async context manager is wanted, not {manager!r}")
    return TaskContextManager(manager, host)
