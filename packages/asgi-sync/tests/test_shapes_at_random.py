"""Every way to cross, nested, cancelled and ended early at random: nothing hangs, and what was opened is closed.

`test_call_trees` predicts what plain calls do. Here nothing is predicted but the end, for whatever stays open between
two crossings: iterators, context managers, portals.
"""

import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from random import Random
from typing import Any

import pytest

from asgi_sync import BlockingPortal, async_to_sync, start_blocking_portal, sync_to_async

STRESS = bool(os.environ.get("STRESS"))
ATTEMPTS = range(30 if STRESS else 3)
ROUNDS = 200 if STRESS else 40
#: So deep are crossings nested in crossings.
DEEP = 3
SIZES = [0, 1, 3]
#: What sync code is told that goes on after its task was cancelled, and finds that the loop has ended since.
TOO_LATE = ["after loop.shutdown_asyncgens()", "has stopped or is closed", "The event loop stopped while"]


class Failure(Exception):
    """What some of the things fail with."""


class Things:
    """Generators and context managers of both kinds, which note that they are opened and closed."""

    def __init__(self) -> None:
        # Lists, because `append` is one step on all threads, and adding to a number is not.
        self.opened: list[str] = []
        self.closed: list[str] = []

    @contextmanager
    def noted(self, kind: str) -> Iterator[None]:
        self.opened.append(kind)
        try:
            yield
        finally:
            self.closed.append(kind)

    def generate(self) -> Iterator[int]:
        with self.noted("generator"):
            yield from range(13)
            raise Failure

    async def agenerate(self) -> AsyncIterator[int]:
        with self.noted("async generator"):
            for number in range(13):
                if number % 3 == 0:
                    await asyncio.sleep(0)
                yield number
            raise Failure

    @contextmanager
    def manage(self) -> Iterator[None]:
        with self.noted("context manager"):
            yield

    @asynccontextmanager
    async def amanage(self) -> AsyncIterator[None]:
        with self.noted("async context manager"):
            await asyncio.sleep(0)
            yield
            await asyncio.sleep(0)

    def all_are_closed(self) -> bool:
        return Counter(self.opened) == Counter(self.closed)


class Chance:
    """Code of both kinds that does something else each time."""

    def __init__(self, seed: object, things: Things) -> None:
        self.random = Random(repr(seed))
        self.things = things

    def may_fail(self) -> None:
        if self.random.random() < 0.3:
            raise Failure

    def options(self) -> dict[str, Any]:
        return {"thread_sensitive": self.random.random() < 0.5}

    # Sync code

    def call(self, depth: int = 0) -> None:
        ways: list[Callable[[int], None]] = [self.iterate, self.enter, self.wait, self.work]
        if depth < DEEP:
            ways.append(self.nest)
        with suppress(Failure):
            self.random.choice(ways)(depth)

    def iterate(self, depth: int) -> None:
        call = async_to_sync(self.things.agenerate, max_buffer_size=self.random.choice(SIZES))
        self.take_some(call())

    def take_some(self, items: Any) -> None:
        last = self.random.randrange(16)
        with closing(items):
            for item in items:
                if item == last:
                    break

    def enter(self, depth: int) -> None:
        with async_to_sync(self.things.amanage)():
            self.may_fail()

    def wait(self, depth: int) -> None:
        async_to_sync(asyncio.sleep)(self.random.choice([0, 0.0005]))

    def work(self, depth: int) -> None:
        for _ in range(self.random.randrange(500)):
            pass

    def nest(self, depth: int) -> None:
        async_to_sync(self.acall)(depth + 1)

    def use_portal(self, portal: BlockingPortal) -> None:
        with suppress(Failure):
            self.take_some(
                portal.wrap_async_iterator(self.things.agenerate(), max_buffer_size=self.random.choice(SIZES))
            )
            with portal.wrap_async_context_manager(self.things.amanage()):
                self.may_fail()

    # Async code

    async def acall(self, depth: int = 0) -> None:
        ways: list[Callable[[int], Any]] = [self.aiterate, self.aenter, self.awork]
        if depth < DEEP:
            ways += [self.anest, self.anest, self.group]
        with suppress(Failure):
            await self.random.choice(ways)(depth)

    async def aiterate(self, depth: int) -> None:
        call = sync_to_async(
            self.things.generate, max_buffer_size=self.random.choice(SIZES), **self.options()
        )
        last = self.random.randrange(16)
        async with aclosing(call()) as items:
            async for item in items:
                if item == last:
                    break

    async def aenter(self, depth: int) -> None:
        async with sync_to_async(self.things.manage, **self.options())():
            self.may_fail()

    async def awork(self, depth: int) -> None:
        await sync_to_async(self.work, **self.options())(depth)

    async def anest(self, depth: int) -> None:
        await sync_to_async(self.call, **self.options())(depth + 1)

    async def group(self, depth: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                chance = Chance(self.random.random(), self.things)
                tasks.create_task(chance.acall(depth + 1))

    async def be_cancelled(self) -> None:
        """Run a task that is cancelled after some rounds of the loop, if it is still there."""
        task = asyncio.create_task(self.acall())
        if self.random.random() < 0.5:
            for _ in range(self.random.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Have threads take turns all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_below_a_loop(attempt: int, in_thread: Callable[..., Any]) -> None:
    things = Things()
    unheard: list[dict[str, Any]] = []

    async def one(number: int) -> None:
        chance = Chance((attempt, number), things)
        for _ in range(ROUNDS):
            await chance.be_cancelled()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        await asyncio.gather(*[one(number) for number in range(6)])
        await asyncio.to_thread(wait_until_closed, things)  # sync code that was abandoned still uses the loop

    in_thread(main())
    assert [each for each in unheard if not is_expected(each)] == []


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_below_plain_threads(attempt: int, in_thread: Callable[..., Any]) -> None:
    things = Things()

    def one(number: int) -> None:
        chance = Chance((attempt, number), things)
        with start_blocking_portal() as portal:
            for _ in range(ROUNDS):
                chance.call()
                chance.use_portal(portal)

    async def main() -> None:
        await asyncio.gather(*[asyncio.to_thread(one, number) for number in range(3)])

    in_thread(main())
    wait_until_closed(things)


def wait_until_closed(things: Things) -> None:
    end = time.monotonic() + 40
    while not things.all_are_closed() and time.monotonic() < end:
        gc.collect()  # what was abandoned is closed by its finalizer
        time.sleep(0.005)
    assert Counter(things.opened) == Counter(things.closed)
    assert things.opened


def is_expected(report: dict[str, Any]) -> bool:
    """Whether it is what an abandoned call failed with: that of the things, or that it came too late for the loop."""
    error = report.get("exception")
    return isinstance(error, Failure) or any(each in str(error) for each in TOO_LATE)
