"""Whole objects on the other side: every public method crosses."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ._decorators import async_to_sync, sync_to_async
from ._kinds import Kind, kind_of
from ._marks import calls_coroutine
from ._portals import host_of, process_portal
from ._sync_context_managers import sync_to_async_context_manager
from ._sync_iterators import sync_to_async_iterator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from concurrent.futures import Executor
    from types import TracebackType

    from ._async_context_managers import TaskContextManager
    from ._portal import BlockingPortal

T = TypeVar("T")


def _look_up(target: Any, name: str) -> bool:
    """Whether the attribute is computed by code of the object's. Refuses what is private."""
    if name.startswith("_"):
        raise AttributeError(f"{name!r} is private to {target!r}: it does not cross", name=name, obj=target)
    attribute: object = inspect.getattr_static(cast("Any", type(target)), name, None)
    return isinstance(attribute, (property, functools.cached_property))


class AsyncProxy(Generic[T]):
    """A sync object for async code: what `async_proxy` returns."""

    def __init__(self, target: T, thread_sensitive: bool, executor: Executor | None) -> None:
        options = {"thread_sensitive": thread_sensitive, "executor": executor}
        # Not by assignment, which is the object's.
        self.__dict__.update(_target=target, _options=options, _entered=[])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._target) if not name.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        target, options = self._target, self._options
        if _look_up(target, name):
            return sync_to_async(getattr, **options)(target, name)
        value = getattr(target, name)
        if not callable(value) or inspect.isclass(value) or calls_coroutine(value):
            return value
        return sync_to_async(value, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"cannot set {name!r}: call a method, or set it on the object itself", name=name, obj=self
        )

    def __aiter__(self) -> AsyncGenerator[Any, Any]:
        return sync_to_async_iterator(self._target, **self._options)

    async def __aenter__(self) -> Any:
        manager = sync_to_async_context_manager(self._target, **self._options)
        value = await manager.__aenter__()
        self._entered.append(manager)
        return self if value is self._target else value

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        manager = self._entered.pop()
        return await manager.__aexit__(exc_type, exc, tb)  # type: ignore[no-any-return]  # of a manager of ours


class SyncProxy(Generic[T]):
    """An async object for sync code: what `sync_proxy` returns."""

    def __init__(self, target: T, portal: BlockingPortal) -> None:
        self.__dict__.update(_target=target, _portal=portal, _entered=[])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._target) if not name.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        target, portal = self._target, self._portal
        if _look_up(target, name):
            return portal.call(getattr, target, name)
        value: Any = getattr(target, name)
        if not callable(value) or inspect.isclass(value):
            return value
        if kind_of(value) in (Kind.ASYNC_GENERATOR, Kind.ASYNC_CONTEXT_MANAGER):
            wrap: Any = async_to_sync
            return wrap(value, portal=portal)
        return functools.wraps(value)(functools.partial(portal.call, value))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"cannot set {name!r}: call a method, or set it on the object itself", name=name, obj=self
        )

    def __iter__(self) -> Generator[Any, Any, None]:
        return self._portal.wrap_async_iterator(self._target)  # type: ignore[no-any-return]  # of a portal

    def __enter__(self) -> Any:
        manager: TaskContextManager[Any] = self._portal.wrap_async_context_manager(self._target)
        value = manager.__enter__()
        self._entered.append(manager)
        return self if value is self._target else value

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        manager = self._entered.pop()
        return manager.__exit__(exc_type, exc, tb)  # type: ignore[no-any-return]  # of a manager of ours


def async_proxy(
    target: T, *, thread_sensitive: bool = True, executor: Executor | None = None
) -> AsyncProxy[T]:
    """Use a sync object from async code: each of its public methods is a `sync_to_async` of itself.

    Generator methods are iterated over with `async for`, `contextmanager` methods entered with `async with`, and so is
    the object itself if it is iterable or a context manager. A property gives an awaitable, for its code runs on the
    thread as well. Other attributes, and methods that are coroutine functions, are handed on as they are; names that
    begin with an underscore are not.

    Args:
        target: The object.
        thread_sensitive: As in `sync_to_async`.
        executor: As in `sync_to_async`, with `thread_sensitive=False`.

    Returns:
        The proxy. Type checkers know its attributes as `Any`: Python has no type for "the same, but awaited".

    >>> import asyncio, sqlite3
    >>> from asgi_sync import async_proxy, sync_to_async
    >>> async def main():
    ...     connection = async_proxy(await sync_to_async(sqlite3.connect)(":memory:"))
    ...     async with connection:
    ...         cursor = async_proxy(await connection.execute("select 'one' union select 'two'"))
    ...         async for row in cursor:
    ...             print(row)
    ...     await connection.close()
    >>> asyncio.run(main())
    ('one',)
    ('two',)
    """
    return AsyncProxy(target, thread_sensitive, executor)


def sync_proxy(target: T, *, portal: BlockingPortal | None = None) -> SyncProxy[T]:
    """Use an async object from sync code: each of its public methods is called in a portal's loop and waited for.

    Async generator methods are iterated over with `for`, `asynccontextmanager` methods entered with `with`, and so is
    the object itself if it is async iterable or an async context manager. Properties are read in the loop. Names that
    begin with an underscore are not handed on.

    Args:
        target: The object.
        portal: The portal; by default `process_portal()`.

    Returns:
        The proxy. Type checkers know its attributes as `Any`: Python has no type for "the same, but waited for".

    Raises:
        TypeError: If `portal` is something else.

    >>> import asyncio
    >>> from asgi_sync import start_blocking_portal, sync_proxy
    >>> with start_blocking_portal() as portal:
    ...     queue = sync_proxy(asyncio.Queue(), portal=portal)
    ...     queue.put("item")
    ...     print(queue.get())
    item
    """
    if portal is not None:
        host_of(portal)
    return SyncProxy(target, process_portal() if portal is None else portal)
