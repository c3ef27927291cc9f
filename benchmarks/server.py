"""StatelessServer: dispatch, creation with eviction, idle instances, memory, and a long life in a short time.

Dispatching is measured in whole batches, since for a few messages the turns of the event loop would be all
that is measured. Idle instances have no time per call: what they cost is told in words.

``python benchmarks/server.py soak`` runs the long life alone.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import logging
import random
import sys
import time
import tracemalloc
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from harness import Bench, coroutine, load_peer

from asgi_server.server import Observer, ScopeBlockedError, StatelessServer

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from harness import Subject

MODES = "pinned"

# What a subject does at a time; for a few messages the turns of the event loop would be all that is measured.
MESSAGES = 1000
CREATIONS = 100


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Counter:
    """An application that counts what it receives, and wakes the benchmark when it was all."""

    def __init__(self) -> None:
        self.received = 0
        self.expected = 0
        self.complete = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()
            self.received += 1
            if self.received == self.expected:
                self.complete.set()

    async def expect(self, count: int) -> None:
        self.expected = self.received + count
        self.complete.clear()


def subclass(base: type[Any]) -> type[Any]:
    class Server(base):
        async def handle(self) -> None:
            await asyncio.Event().wait()

        async def application_send(self, scope: Any, message: Any) -> None: ...

    return Server


def cancel_all(server: Any) -> None:
    for details in list(server.application_instances.values()):
        details["future"].cancel()


@contextmanager
def dispatch_to_live_scopes(server_class: type[Any], scopes: int, burst: int) -> Iterator[Subject]:
    """A subject that gives messages to instances which live on from round to round, *burst* in one turn of the loop.

    It returns processor time, which leaves out what the other processes of the machine took. That is all the
    time there is: nothing waits here for anything but the event loop.
    """
    counter = Counter()
    server = server_class(counter, scopes + 1)

    async def turn(messages: int) -> float:
        await counter.expect(messages)
        started = time.process_time()
        for number in range(messages):
            server.get_or_create_application_instance(number % scopes, None).put_nowait(number)
            if number % burst == burst - 1:
                await asyncio.sleep(0)
        await counter.complete.wait()
        return time.process_time() - started

    def measure(n: int) -> float:
        gc.disable()  # as timeit does
        try:
            return runner.run(turn(n * MESSAGES))
        finally:
            gc.enable()

    with asyncio.Runner() as runner:
        runner.run(turn(scopes))
        yield measure


def creation_with_eviction(server_class: type[Any], capacity: int) -> Subject:
    async def measure(n: int) -> float:
        counter = Counter()
        server = server_class(counter, capacity)
        await counter.expect(capacity)
        for number in range(capacity):
            server.get_or_create_application_instance(number, None).put_nowait(number)
        await counter.complete.wait()
        await counter.expect(n * CREATIONS)
        started = time.perf_counter()
        for number in range(capacity, capacity + n * CREATIONS):
            server.get_or_create_application_instance(number, None).put_nowait(number)
            if number % 10 == 9:
                await asyncio.sleep(0)
        await counter.complete.wait()
        seconds = time.perf_counter() - started
        cancel_all(server)
        return seconds

    return coroutine(measure)


async def idle_share(server_class: type[Any], instances: int, seconds: float) -> float:
    """Return the share of one core that a server with idle instances takes."""
    counter = Counter()
    server = server_class(counter, instances + 1)
    serving = asyncio.create_task(server.arun())
    await counter.expect(instances)
    for number in range(instances):
        server.get_or_create_application_instance(number, None).put_nowait(number)
    await counter.complete.wait()
    await asyncio.sleep(0.2)
    gc.collect()
    wall, used = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - used) / (time.perf_counter() - wall)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    cancel_all(server)
    return share


async def bytes_of_an_idle_scope(server_class: type[Any], instances: int) -> float:
    counter = Counter()
    server = server_class(counter, instances + 1)
    gc.collect()
    tracemalloc.start()
    try:
        await counter.expect(instances)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(instances):
            server.get_or_create_application_instance(number, None).put_nowait(number)
        await counter.complete.wait()
        await asyncio.sleep(0)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / instances
    finally:
        tracemalloc.stop()
        cancel_all(server)


class Books(Observer):
    """What was dropped, and why."""

    def __init__(self, messages: int) -> None:
        self.handled = bytearray(messages)
        self.dropped = bytearray(messages)
        self.reasons: collections.Counter[str] = collections.Counter()
        self.starts = 0
        self.stuck = 0

    def instance_started(self, scope_id: Hashable) -> None:
        self.starts += 1

    def instance_stuck(self, scope_id: Hashable, reason: str) -> None:
        self.stuck += 1

    def message_dropped(self, scope_id: Hashable, scope: Any, message: Any, reason: str) -> None:
        self.dropped[message] += 1
        self.reasons[reason] += 1


def ill_behaved(books: Books, chance: random.Random) -> Any:
    """An application that ends, crashes, hangs and swallows its cancellation at random."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            books.handled[message] += 1
            dice = chance.random()
            if dice < 0.02:
                return
            if dice < 0.04:
                raise LookupError("as such applications do")
            if dice < 0.0405:
                await asyncio.Event().wait()
            if dice < 0.041:
                for _ in range(2):
                    try:
                        await asyncio.sleep(0.5)
                    except asyncio.CancelledError:
                        pass
            if dice < 0.5:
                await send(message)

    return application


def resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


async def long_life(
    messages: int = 200_000, scopes: int = 10_000, capacity: int = 1_000, seed: int = 1
) -> None:
    """Every message is handled once or dropped with a reason; memory and tasks are flat at the end."""
    chance = random.Random(seed)
    books = Books(messages)
    crashes = 0

    class Soak(StatelessServer):
        async def handle(self) -> None:
            for number in range(messages):
                try:
                    await self.dispatch(chance.randrange(scopes), None, number)
                except ScopeBlockedError:
                    books.message_dropped(None, None, number, "refused: the scope's last instance is stuck")
                if number % (messages // 5) == messages // 5 - 1:
                    gc.collect()
                    tell(
                        f"  {number + 1:7,} messages: {resident_mib():6.1f} MiB, "
                        f"{len(asyncio.all_tasks()):5} tasks, {len(self.application_instances):5} instances, "
                        f"{time.perf_counter() - started:5.1f} s"
                    )

        async def application_send(self, scope: Any, message: Any) -> None:
            await asyncio.sleep(0)

        async def application_exception(self, exception: BaseException, application_details: Any) -> None:
            nonlocal crashes
            crashes += 1

    server = Soak(
        ill_behaved(books, chance), capacity, eviction_grace=0.1, cancel_timeout=0.1, observer=books
    )
    tell(f"{messages:,} messages over {scopes:,} scopes, at most {capacity:,} instances:")
    logging.getLogger("asgi_server.server").setLevel(logging.CRITICAL)
    started = time.perf_counter()
    await server.arun()
    await asyncio.sleep(2)  # those that swallowed their cancellation end by themselves after a second
    gc.collect()
    handled, dropped = sum(books.handled), sum(books.dropped)
    both_or_neither = sum(1 for pair in zip(books.handled, books.dropped, strict=True) if sum(pair) != 1)
    tell(
        f"  afterwards: {resident_mib():6.1f} MiB, {len(asyncio.all_tasks())} task (this one), "
        f"{len(server.application_instances)} instances\n"
        f"  handled {handled:,}, dropped {dropped:,}, not exactly one of both {both_or_neither}; "
        f"{books.starts:,} instances, {crashes:,} crashes, {books.stuck:,} stuck"
    )
    for reason, count in books.reasons.most_common():
        tell(f"  {count:7,} dropped: {reason}")
    assert both_or_neither == 0, "a message was lost, or handled twice"
    assert len(asyncio.all_tasks()) == 1, "a task is left"


def run(bench: Bench) -> None:
    classes = {
        "ours": subclass(StatelessServer),
        "asgiref": subclass(load_peer("asgiref").server.StatelessServer),
    }
    for scopes, burst in ((1, 100), (1, 1), (1000, 100), (1000, 1)):
        with ExitStack() as stack:
            bench.compare(
                f"dispatch and handle {MESSAGES} messages, {scopes} live scope(s), {burst} at a time, CPU",
                {
                    name: stack.enter_context(dispatch_to_live_scopes(server, scopes, burst))
                    for name, server in classes.items()
                },
                rounds=max(bench.rounds, 51),  # many and short, because so little separates the two
            )
    for capacity in (1000, 16_000):
        bench.compare(
            f"create {CREATIONS} instances and evict as many, of {capacity}",
            {name: creation_with_eviction(server, capacity) for name, server in classes.items()},
            rounds=min(bench.rounds, 5),
        )
    if "idle" in bench.only or not bench.only:
        for name, server in classes.items():
            share = asyncio.run(idle_share(server, 5000, 3))
            size = asyncio.run(bytes_of_an_idle_scope(server, 2000))
            bench.note(
                f"{name}: 5000 idle instances take {share:.2%} of a core; {size:,.0f} bytes for an idle scope"
            )
    if "soak" in bench.only or not (bench.only or bench.quick):
        asyncio.run(long_life())


if __name__ == "__main__":
    if sys.argv[1:] != ["soak"]:
        sys.exit(__doc__)
    asyncio.run(long_life())
