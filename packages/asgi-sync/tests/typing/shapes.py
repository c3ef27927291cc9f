"""The types of what crosses. Checked by mypy and pyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from io import TextIOWrapper
from typing import Any, TypeVar, assert_type

from asgi_sync import (
    BlockingPortal,
    TaskStatus,
    async_to_sync,
    async_to_sync_context_manager,
    async_to_sync_iterator,
    process_portal,
    start_blocking_portal,
    sync_to_async,
    sync_to_async_context_manager,
    sync_to_async_iterator,
)

T = TypeVar("T")


def plain(number: int, *, text: str = "") -> list[int]:
    return [number]


def generator(number: int) -> Generator[int, str, bytes]:
    yield number
    return b""


def iterator(number: int) -> Iterator[int]:
    yield number


@contextmanager
def manager(text: str) -> Generator[int]:
    yield len(text)


async def coroutine(number: int, *, text: str = "") -> list[int]:
    return [number]


async def async_generator(number: int) -> AsyncGenerator[int, str]:
    yield number


async def async_iterator(number: int) -> AsyncIterator[int]:
    yield number


@asynccontextmanager
async def async_manager(text: str) -> AsyncGenerator[int]:
    yield len(text)


def identity(value: T) -> T:
    return value


async def async_identity(value: T) -> T:
    return value


async def plain_functions(executor: Executor) -> None:
    assert_type(await sync_to_async(plain)(1, text="2"), list[int])
    sync_to_async(plain)("1")  # type: ignore[arg-type, unused-awaitable]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]
    assert_type(await sync_to_async(plain, thread_sensitive=False, executor=executor)(1), list[int])
    sync_to_async(plain, thread_sensitive=False, executor=ThreadPoolExecutor())
    sync_to_async(plain, thread_sensitive=False, executor=ProcessPoolExecutor())
    assert_type(await sync_to_async(thread_sensitive=False)(plain)(1), list[int])
    assert_type(await sync_to_async(identity)("text"), str)
    assert_type(await sync_to_async(str)(1), str)
    # An iterator that no generator function makes is what it is.
    file = await sync_to_async(open)("name")
    assert_type(file, TextIOWrapper)
    async for _ in sync_to_async(plain)(1):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    task = asyncio.create_task(sync_to_async(plain)(1))
    assert_type(await task, list[int])
    function: Callable[[int], Coroutine[Any, Any, list[int]]] = sync_to_async(plain)
    await function(1)


async def generator_functions() -> None:
    items = sync_to_async(generator)(1)
    assert_type(await anext(items), int)
    assert_type(await items.asend("text"), int)
    assert_type([item async for item in items], list[int])
    assert_type(await sync_to_async(generator)(1), Generator[int, str, bytes])
    assert_type(await asyncio.create_task(sync_to_async(generator)(1)), Generator[int, str, bytes])
    async for item in sync_to_async(thread_sensitive=False, max_buffer_size=3)(generator)(1):
        assert_type(item, int)
    async with aclosing(sync_to_async(generator)(1)) as closing:
        assert_type(await anext(closing), int)
    iterator_of: AsyncIterator[int] = sync_to_async(generator)(1)
    await anext(iterator_of)
    async for item in sync_to_async_iterator([1, 2]):
        assert_type(item, int)
    async for item in sync_to_async_iterator(iterator(1), max_buffer_size=2):
        assert_type(item, int)
    sync_to_async(generator)("1")  # type: ignore[arg-type, unused-awaitable]  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]


async def context_managers(lock: AbstractContextManager[bool]) -> None:
    async with sync_to_async(manager)("text") as value:
        assert_type(value, int)
    async with sync_to_async(thread_sensitive=False)(manager)("text") as value:
        assert_type(value, int)
    manager_of: AbstractAsyncContextManager[int] = sync_to_async(manager)("text")
    async with manager_of:
        pass
    async with sync_to_async_context_manager(lock) as held:
        assert_type(held, bool)
    async with sync_to_async_context_manager(open("name")) as file:
        assert_type(file, TextIOWrapper)


def coroutine_functions(portal: BlockingPortal) -> None:
    assert_type(async_to_sync(coroutine)(1, text="2"), list[int])
    async_to_sync(coroutine)("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(async_to_sync(coroutine, portal=portal)(1), list[int])
    assert_type(async_to_sync(force_new_loop=True)(coroutine)(1), list[int])
    assert_type(async_to_sync(portal=portal)(coroutine)(1), list[int])
    assert_type(async_to_sync(async_identity)("text"), str)


def async_generator_functions() -> None:
    items = async_to_sync(async_generator)(1)
    assert_type(next(items), int)
    assert_type(items.send("text"), int)
    assert_type(list(items), list[int])
    for item in async_to_sync(async_iterator)(1):
        assert_type(item, int)
    for item in async_to_sync(max_buffer_size=2)(async_iterator)(1):
        assert_type(item, int)
    for item in async_to_sync_iterator(async_iterator(1), max_buffer_size=2):
        assert_type(item, int)
    async_to_sync(async_generator)("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def async_context_managers(client: AbstractAsyncContextManager[bytes]) -> None:
    with async_to_sync(async_manager)("text") as value:
        assert_type(value, int)
    with async_to_sync()(async_manager)("text") as value:
        assert_type(value, int)
    with async_to_sync_context_manager(client) as entered:
        assert_type(entered, bytes)


class Methods:
    @sync_to_async
    def plain(self, number: int) -> str:
        return str(number)

    @sync_to_async
    def generator(self, number: int) -> Generator[int]:
        yield number

    @sync_to_async(thread_sensitive=False)
    def with_options(self, number: int) -> Generator[int]:
        yield number

    @classmethod
    @sync_to_async
    def of_class(cls, number: int) -> str:
        return str(number)

    @staticmethod
    @sync_to_async
    def static(number: int) -> str:
        return str(number)

    @async_to_sync
    async def coroutine(self, number: int) -> str:
        return str(number)


async def methods(bound: Methods) -> None:
    assert_type(await bound.plain(1), str)
    assert_type(await Methods.plain(bound, 1), str)
    assert_type(await bound.of_class(1), str)
    assert_type(await bound.static(1), str)
    async for item in bound.generator(1):
        assert_type(item, int)
    async for item in bound.with_options(1):
        assert_type(item, int)
    assert_type(bound.coroutine(1), str)
    bound.coroutine("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def serve(port: int, *, task_status: TaskStatus[int]) -> bytes:
    task_status.started(port)
    return b""


def portals(client: AbstractAsyncContextManager[bytes]) -> None:
    with start_blocking_portal(loop_factory=asyncio.new_event_loop, name="name") as portal:
        assert_type(portal, BlockingPortal)
        assert_type(portal.call(coroutine, 1, text="2"), list[int])
        assert_type(portal.call(plain, 1), list[int])
        portal.call(coroutine, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        assert_type(portal.start_task_soon(coroutine, 1), Future[list[int]])
        future, _ = portal.start_task(serve, 80)
        assert_type(future, Future[bytes])
        with portal.wrap_async_context_manager(client) as entered:
            assert_type(entered, bytes)
        for item in portal.wrap_async_iterator(async_iterator(1)):
            assert_type(item, int)
    assert_type(process_portal(), BlockingPortal)
