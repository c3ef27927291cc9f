"""Iterators that cross, an item at a time and with a buffer, beside a call for each item."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from harness import Subject, load_peer

from asgi_sync import AsyncSingleThreadContext, async_to_sync, sync_to_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from harness import Bench

MODES = "both"
ITEMS = 10_000
FEW = 300


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def async_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def in_async_code(iterate: Callable[[int], Any], items: int) -> Subject:
    """Seconds for one item, of `items` in a row; each repetition is a loop over all of them."""

    def measure(n: int) -> float:
        async def main() -> float:
            await sync_to_async(int)()  # the thread is there
            begin = time.perf_counter()
            for _ in range(n):
                count = 0
                async for _ in iterate(items):
                    count += 1
                assert count == items
            return (time.perf_counter() - begin) / items

        return asyncio.run(main())

    return measure


def calls_in_async_code(bridge: Callable[..., Any], items: int) -> Subject:
    def measure(n: int) -> float:
        async def main() -> float:
            call = bridge(next)
            await call(iter([1]))
            begin = time.perf_counter()
            for _ in range(n):
                iterator = numbers(items)
                for _ in range(items):
                    await call(iterator)
            return (time.perf_counter() - begin) / items

        return asyncio.run(main())

    return measure


def in_sync_code(iterate: Callable[[int], Any], items: int) -> Subject:
    def measure(n: int) -> float:
        with AsyncSingleThreadContext():
            async_to_sync(asyncio.sleep)(0)
            begin = time.perf_counter()
            for _ in range(n):
                assert sum(1 for _ in iterate(items)) == items
            return (time.perf_counter() - begin) / items

    return measure


def calls_in_sync_code(bridge: Callable[..., Any], context: Callable[[], Any], items: int) -> Subject:
    async def step(iterator: AsyncIterator[int]) -> int:
        return await anext(iterator)

    def measure(n: int) -> float:
        with context():
            call = bridge(step)
            begin = time.perf_counter()
            for _ in range(n):
                iterator = async_numbers(items)
                for _ in range(items):
                    call(iterator)
            return (time.perf_counter() - begin) / items

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
            "asgi-sync, lazy": in_async_code(ours[0], FEW),
            "asgi-sync, a call for each": calls_in_async_code(sync_to_async, FEW),
            "asgiref, a call for each": calls_in_async_code(asgiref.sync_to_async, FEW),
            "anyio, a call for each": calls_in_async_code(anyio_call, FEW),
        },
    )
    bench.compare(
        "sync generator in async code, 10,000 items ahead",
        {
            "asgi-sync, 100 ahead": in_async_code(ours[100], ITEMS),
            "asgi-sync, 10 ahead": in_async_code(ours[10], ITEMS),
            "asgi-sync, 1000 ahead": in_async_code(ours[1000], ITEMS),
            "asgi-sync, a call for each": calls_in_async_code(sync_to_async, FEW),
        },
    )
    ours_sync = {size: async_to_sync(async_numbers, max_buffer_size=size) for size in (0, 10, 100, 1000)}
    bench.compare(
        "async generator in sync code, an item at a time",
        {
            "asgi-sync, lazy": in_sync_code(ours_sync[0], FEW),
            "asgi-sync, a call for each": calls_in_sync_code(async_to_sync, AsyncSingleThreadContext, FEW),
            "asgiref, a call for each": calls_in_sync_code(
                asgiref.async_to_sync, asgiref.AsyncSingleThreadContext, FEW
            ),
        },
    )
    bench.compare(
        "async generator in sync code, 10,000 items ahead",
        {
            "asgi-sync, 100 ahead": in_sync_code(ours_sync[100], ITEMS),
            "asgi-sync, 10 ahead": in_sync_code(ours_sync[10], ITEMS),
            "asgi-sync, 1000 ahead": in_sync_code(ours_sync[1000], ITEMS),
            "asgi-sync, a call for each": calls_in_sync_code(async_to_sync, AsyncSingleThreadContext, FEW),
        },
    )
