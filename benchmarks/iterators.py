"""Iterators: those that cross, an item at a time and with a buffer, beside a call for each item."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from harness import Subject, coroutine, load_peer

from asgi_sync import AsyncSingleThreadContext, async_to_sync, sync_to_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness import Bench

MODES = "both"
#: In one iterator, at most.
ITEMS = 10_000


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def async_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def iterators_of(n: int) -> Iterator[int]:
    """The lengths of iterators that have n items together."""
    while n > 0:
        yield min(n, ITEMS)
        n -= ITEMS


def in_async_code(iterate: Callable[[int], Any]) -> Subject:
    async def measure(n: int) -> float:
        await sync_to_async(int)()  # the thread is there
        begin = time.perf_counter()
        for length in iterators_of(n):
            count = 0
            async for _ in iterate(length):
                count += 1
            assert count == length
        return time.perf_counter() - begin

    return coroutine(measure)


def calls_in_async_code(bridge: Callable[..., Any]) -> Subject:
    async def measure(n: int) -> float:
        call = bridge(next)
        await call(iter([1]))
        begin = time.perf_counter()
        for length in iterators_of(n):
            iterator = numbers(length)
            for _ in range(length):
                await call(iterator)
        return time.perf_counter() - begin

    return coroutine(measure)


def in_sync_code(iterate: Callable[[int], Any]) -> Subject:
    def measure(n: int) -> float:
        with AsyncSingleThreadContext():
            async_to_sync(asyncio.sleep)(0)  # the loop is there
            begin = time.perf_counter()
            for length in iterators_of(n):
                assert sum(1 for _ in iterate(length)) == length
            return time.perf_counter() - begin

    return measure


def calls_in_sync_code(bridge: Callable[..., Any], context: Callable[[], Any]) -> Subject:
    # Not `anext` of one iterator: asgiref closes it with the loop of the first call.
    async def step(number: int) -> int:
        return number

    def measure(n: int) -> float:
        with context():
            call = bridge(step)
            begin = time.perf_counter()
            for length in iterators_of(n):
                for number in range(length):
                    call(number)
            return time.perf_counter() - begin

    return measure


def run(bench: Bench) -> None:
    asgiref = load_peer("asgiref").sync
    anyio = load_peer("anyio")

    def anyio_call(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any) -> Any:
            return await anyio.to_thread.run_sync(function, *args)

        return call

    ours = {size: sync_to_async(numbers, max_buffer_size=size) for size in (0, 10, 100, 1000)}
    bench.compare(
        "sync generator in async code, an item at a time",
        {
            "asgi-sync, lazy": in_async_code(ours[0]),
            "asgi-sync, a call for each": calls_in_async_code(sync_to_async),
            "asgiref, a call for each": calls_in_async_code(asgiref.sync_to_async),
            "anyio, a call for each": calls_in_async_code(anyio_call),
        },
    )
    bench.compare(
        "sync generator in async code, 10,000 items ahead",
        {
            "asgi-sync, 100 ahead": in_async_code(ours[100]),
            "asgi-sync, 10 ahead": in_async_code(ours[10]),
            "asgi-sync, 1000 ahead": in_async_code(ours[1000]),
            "asgi-sync, a call for each": calls_in_async_code(sync_to_async),
        },
    )
    ours_sync = {size: async_to_sync(async_numbers, max_buffer_size=size) for size in (0, 10, 100, 1000)}
    bench.compare(
        "async generator in sync code, an item at a time",
        {
            "asgi-sync, lazy": in_sync_code(ours_sync[0]),
            "asgi-sync, a call for each": calls_in_sync_code(async_to_sync, AsyncSingleThreadContext),
            "asgiref, a call for each": calls_in_sync_code(
                asgiref.async_to_sync, asgiref.AsyncSingleThreadContext
            ),
        },
    )
    bench.compare(
        "async generator in sync code, 10,000 items ahead",
        {
            "asgi-sync, 100 ahead": in_sync_code(ours_sync[100]),
            "asgi-sync, 10 ahead": in_sync_code(ours_sync[10]),
            "asgi-sync, 1000 ahead": in_sync_code(ours_sync[1000]),
            "asgi-sync, a call for each": calls_in_sync_code(async_to_sync, AsyncSingleThreadContext),
        },
    )
