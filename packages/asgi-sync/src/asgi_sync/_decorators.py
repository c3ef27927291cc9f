"""The two functions that wrap a callable by what it is, and their types."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from ._async_context_managers import AsyncContextManagerToSync
from ._async_iterators import AsyncGeneratorToSync
from ._async_to_sync import AsyncToSync
from ._kinds import Kind, kind_of
from ._portals import host_of
from ._read_ahead import check_size
from ._sync_context_managers import ContextManagerToAsync
from ._sync_generators import GeneratorToAsync
from ._sync_to_async import SyncToAsync

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager, _AsyncGeneratorContextManager
    from contextvars import Context

    from ._calls import SyncCall
    from ._portal import BlockingPortal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")


class AsyncToSyncDecorator(Protocol):
    """`async_to_sync` with its options given."""

    @overload
    def __call__(
        self, awaitable: Callable[P, _AsyncGeneratorContextManager[T]], /
    ) -> Callable[P, AbstractContextManager[T, bool | None]]: ...
    @overload
    def __call__(
        self, awaitable: Callable[P, AsyncGenerator[Y, S]], /
    ) -> Callable[P, Generator[Y, S, None]]: ...
    @overload
    def __call__(
        self, awaitable: Callable[P, AsyncIterator[Y]], /
    ) -> Callable[P, Generator[Y, None, None]]: ...
    @overload
    def __call__(
        self, awaitable: Callable[P, Coroutine[Any, Any, R]] | Callable[P, Awaitable[R]], /
    ) -> Callable[P, R]: ...


# Not overloaded by what the callable returns: to mypy a generic function, `(T) -> T`, would match whatever overload
# comes first.
@overload
def sync_to_async(
    *,
    thread_sensitive: bool = True,
    executor: Executor | None = None,
    context: Context | None = None,
    abandon_on_cancel: bool = True,
    max_buffer_size: int = 0,
) -> Callable[[Callable[P, R]], Callable[P, SyncCall[R]]]: ...


@overload
def sync_to_async(
    func: Callable[P, R],
    *,
    thread_sensitive: bool = True,
    executor: Executor | None = None,
    context: Context | None = None,
    abandon_on_cancel: bool = True,
    max_buffer_size: int = 0,
) -> Callable[P, SyncCall[R]]: ...


def sync_to_async(
    func: Callable[..., Any] | None = None,
    *,
    thread_sensitive: bool = True,
    executor: Executor | None = None,
    context: Context | None = None,
    abandon_on_cancel: bool = True,
    max_buffer_size: int = 0,
) -> Any:
    """Make a coroutine function of a sync function, which then runs on a thread. Also a decorator.

    Args:
        func: Any sync callable: a function, method, partial, class or object with `__call__`. Calls of a
            generator function are iterated over with `async for`, those of a `contextlib.contextmanager`
            function entered with `async with`; see `sync_to_async_iterator` and
            `sync_to_async_context_manager`. Awaiting such a call gives the plain generator or context
            manager.
        thread_sensitive: Run it on the one thread where all such code runs, in the order of the calls: the
            thread of the outermost sync code that waits in `async_to_sync`; else that of the
            `ThreadSensitiveContext`; else one thread of the process. `False` means any thread, several calls
            at a time.
        executor: Where to run it, with `thread_sensitive=False`; by default in the event loop's default
            executor.
        context: Run it in a copy of these context variables, and write what it sets back to them rather than
            to the caller's. Calls that share a context run one after the other.
        abandon_on_cancel: What cancelling the task that waits does while the function runs. `True`: the task
            goes on at once, and what the function raises later is given to the loop's exception handler.
            `False`: the task waits until the function has ended. In both cases a function that has not begun
            never runs, and one that waits in `async_to_sync` gets the cancellation there.
        max_buffer_size: For generator functions: let the generator run ahead by so many items at most.

    Returns:
        A `SyncToAsync`: a coroutine function with the name, documentation and signature of `func`. It can be
        awaited in any event loop. The function sees the caller's context variables and the exception being
        handled; the variables that it sets come back.

    Raises:
        TypeError: If `func` is not callable or is a coroutine function, or an `executor` comes with
            `thread_sensitive=True`; or if `max_buffer_size` comes with anything but a generator function.

    >>> import asyncio
    >>> from asgi_sync import sync_to_async
    >>> async def main():
    ...     return await sync_to_async(sorted)([3, 1, 2], reverse=True)
    >>> asyncio.run(main())
    [3, 2, 1]
    """
    check_size(max_buffer_size)
    options = (thread_sensitive, executor, context, abandon_on_cancel)
    if func is None:
        return functools.partial(_wrap_sync, options=options, max_buffer_size=max_buffer_size)
    return _wrap_sync(func, options, max_buffer_size)


def _wrap_sync(func: Any, options: Any, max_buffer_size: int) -> Any:
    thread_sensitive, executor, context, abandon = options
    kind = kind_of(func)
    if kind is Kind.GENERATOR:
        return GeneratorToAsync(
            func,
            thread_sensitive=thread_sensitive,
            executor=executor,
            context=context,
            abandon_on_cancel=abandon,
            max_buffer_size=max_buffer_size,
        )
    if max_buffer_size:
        raise TypeError(f"max_buffer_size is for generator functions, not for {func!r}")
    wrapper: Any = ContextManagerToAsync if kind is Kind.CONTEXT_MANAGER else SyncToAsync
    return wrapper(
        func,
        thread_sensitive=thread_sensitive,
        executor=executor,
        context=context,
        abandon_on_cancel=abandon,
    )


@overload
def async_to_sync(
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> AsyncToSyncDecorator: ...


@overload
def async_to_sync(
    awaitable: Callable[P, _AsyncGeneratorContextManager[T]],
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> Callable[P, AbstractContextManager[T, bool | None]]: ...


@overload
def async_to_sync(
    awaitable: Callable[P, AsyncGenerator[Y, S]],
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> Callable[P, Generator[Y, S, None]]: ...


@overload
def async_to_sync(
    awaitable: Callable[P, AsyncIterator[Y]],
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> Callable[P, Generator[Y, None, None]]: ...


@overload
def async_to_sync(
    awaitable: Callable[P, Coroutine[Any, Any, R]] | Callable[P, Awaitable[R]],
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> Callable[P, R]: ...


def async_to_sync(
    awaitable: Callable[..., Any] | None = None,
    *,
    force_new_loop: bool = False,
    portal: BlockingPortal | None = None,
    max_buffer_size: int = 0,
) -> Any:
    """Make a sync function of a coroutine function. Also a decorator, with or without arguments.

    In sync code that an event loop waits for in `sync_to_async`, the coroutine runs in that loop. In other
    sync code it runs in a loop on a thread of its own, a new loop as far as can be seen: whatever a call
    leaves in it, tasks or connections, ends with the call, as with `asyncio.run`. To keep a loop, use
    `AsyncSingleThreadContext` or a `BlockingPortal`.

    The calling thread waits, and meanwhile runs the thread-sensitive code that belongs to it.

    Args:
        awaitable: A coroutine function or any other callable that returns an awaitable. It is called in the
            loop. Calls of an async generator function are iterated over with `for`, those of a
            `contextlib.asynccontextmanager` function entered with `with`; see `async_to_sync_iterator` and
            `async_to_sync_context_manager`.
        force_new_loop: Run in a new loop in any case. Not for generators and context managers.
        portal: Run in this portal's loop in any case.
        max_buffer_size: For async generator functions: let the generator run ahead by so many items at most.

    Returns:
        An `AsyncToSync`: a function with the name, documentation and signature of `awaitable`. The coroutine
        sees the caller's context variables and the exception being handled; the variables that it sets come
        back.

    Raises:
        TypeError: If options come together that exclude each other, or with a callable they are not for.

    Warns:
        UserWarning: If `awaitable` does not look like a coroutine function.

    >>> import asyncio
    >>> from asgi_sync import async_to_sync
    >>> async def double(number):
    ...     await asyncio.sleep(0)
    ...     return 2 * number
    >>> async_to_sync(double)(21)
    42
    """
    check_size(max_buffer_size)
    if force_new_loop and portal is not None:
        raise TypeError("force_new_loop must not be set with a portal, which has its loop")
    if awaitable is None:
        return functools.partial(
            _wrap_async, force_new_loop=force_new_loop, portal=portal, max_buffer_size=max_buffer_size
        )
    return _wrap_async(awaitable, force_new_loop, portal, max_buffer_size)


def _wrap_async(
    awaitable: Any, force_new_loop: bool, portal: BlockingPortal | None, max_buffer_size: int
) -> Any:
    host = host_of(portal)
    kind = kind_of(awaitable)
    if kind is Kind.ASYNC_GENERATOR:
        _refuse_new_loop(awaitable, force_new_loop)
        return AsyncGeneratorToSync(awaitable, max_buffer_size=max_buffer_size, host=host)
    if max_buffer_size:
        raise TypeError(f"max_buffer_size is for async generator functions, not for {awaitable!r}")
    if kind is Kind.ASYNC_CONTEXT_MANAGER:
        _refuse_new_loop(awaitable, force_new_loop)
        return AsyncContextManagerToSync(awaitable, host=host)
    return AsyncToSync(awaitable, force_new_loop, host=host)


def _refuse_new_loop(awaitable: Any, force_new_loop: bool) -> None:
    if force_new_loop:
        raise TypeError(f"force_new_loop is for coroutine functions, not for {awaitable!r}: use a portal")
