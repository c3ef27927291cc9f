"""asgi-sync: what a crossing costs: each way, nested, in a crowd, in a context, with many context variables.

"bare" is the least that does the same without any guarantee: a queue, a thread, ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Bench, Subject, load_peer, statement

import asgi_sync
import asgi_sync.instrumentation

if TYPE_CHECKING:
    from types import ModuleType

MODES = "both"

Function = Callable[[], Awaitable[Any]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

CROWD = 1000
VARIABLES = 1000


def work() -> None:
    """The sync function that is called: nothing but the crossing is measured."""


async def awork() -> None:
    """The async function that is called."""


class Worker:
    """Methods are wrapped anew for each call, as a rule."""

    def work(self) -> None: ...

    async def awork(self) -> None: ...


class Bare:
    """A thread, a queue in, ``call_soon_threadsafe`` out; and a loop in another thread."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self.serve, daemon=True).start()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def serve(self) -> None:
        while True:
            function, loop, future = self.jobs.get()
            result = function()
            loop.call_soon_threadsafe(future.set_result, result)

    def call(self, function: Callable[[], Any]) -> Awaitable[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.jobs.put((function, loop, future))
        return future

    def run(self, function: Function) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result()  # type: ignore[arg-type]

    async def nested(self) -> None:
        loop = asyncio.get_running_loop()
        await self.call(lambda: asyncio.run_coroutine_threadsafe(awork(), loop).result())


def on_loop(function: Callable[[int], Awaitable[float]], loop_factory: LoopFactory | None) -> Subject:
    """Return a subject that runs ``await function(n)`` on a fresh loop."""

    def measure(n: int) -> float:
        async def main() -> float:
            await function(1)  # threads and imports of the first call are no part of a crossing
            return await function(n)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    return measure


def one_by_one(function: Function, loop_factory: LoopFactory | None) -> Subject:
    async def measure(n: int) -> float:
        begin = time.perf_counter()
        for _ in range(n):
            await function()
        return time.perf_counter() - begin

    return on_loop(measure, loop_factory)


def in_a_crowd(function: Function, loop_factory: LoopFactory | None) -> Subject:
    """CROWD calls under gather count as CROWD repetitions."""

    async def measure(n: int) -> float:
        crowds = max(1, round(n / CROWD))
        begin = time.perf_counter()
        for _ in range(crowds):
            await asyncio.gather(*(function() for _ in range(CROWD)))
        return (time.perf_counter() - begin) * n / (crowds * CROWD)

    return on_loop(measure, loop_factory)


def with_variables(function: Function, loop_factory: LoopFactory | None) -> Subject:
    async def measure(n: int) -> float:
        for variable in MANY_VARIABLES:
            variable.set(1)
        begin = time.perf_counter()
        for _ in range(n):
            await function()
        return time.perf_counter() - begin

    return on_loop(measure, loop_factory)


MANY_VARIABLES: list[contextvars.ContextVar[int]] = [
    contextvars.ContextVar(f"v{i}") for i in range(VARIABLES)
]


def load_anyio() -> ModuleType:
    """Import anyio for good: it imports its backend by name at the first call."""
    folder = Path(load_peer("anyio").__file__ or "").parents[1]
    sys.path.append(str(folder))
    return importlib.import_module("anyio")


def loop_factories() -> dict[str, LoopFactory | None]:
    """asyncio's loop, and uvloop's where there is a wheel of it."""
    factories: dict[str, LoopFactory | None] = {"": None}
    try:
        factories[", uvloop"] = load_peer("uvloop").new_event_loop
    except subprocess.CalledProcessError:
        print("uvloop cannot be installed here: its rows are left out", file=sys.stderr)
    return factories


Bridges = Mapping[str, Any]


def crossings(
    bench: Bench, bridges: Bridges, anyio: Any, bare: Bare, loop: str, factory: LoopFactory | None
) -> None:
    """The rows that run on a loop."""
    sensitive = {name: bridge.sync_to_async(work) for name, bridge in bridges.items()}
    insensitive = {
        name: bridge.sync_to_async(work, thread_sensitive=False) for name, bridge in bridges.items()
    }
    nested = {name: bridge.sync_to_async(bridge.async_to_sync(awork)) for name, bridge in bridges.items()}
    others: dict[str, Function] = {
        "asyncio.to_thread": lambda: asyncio.to_thread(work),
        "anyio": lambda: anyio.to_thread.run_sync(work),
        "bare": lambda: bare.call(work),
    }

    def context(bridge: Any) -> Function:
        call = bridge.sync_to_async(work)

        async def request() -> None:
            async with bridge.ThreadSensitiveContext():
                await call()

        return request

    def compare(
        title: str, functions: Mapping[str, Function], subject: Callable[..., Subject] = one_by_one
    ) -> None:
        bench.compare(
            title + loop, {name: subject(function, factory) for name, function in functions.items()}
        )

    compare("sensitive call", {**sensitive, **others})
    compare("insensitive call", {**insensitive, **others})
    compare(f"{CROWD:,} sensitive calls under gather", {**sensitive, **others}, in_a_crowd)
    compare(f"{CROWD:,} insensitive calls under gather", {**insensitive, **others}, in_a_crowd)
    compare("nested: sync_to_async around async_to_sync", {**nested, "bare": bare.nested})
    compare("a context with one call", {name: context(bridge) for name, bridge in bridges.items()})
    compare(f"sensitive call, {VARIABLES:,} context variables set", sensitive, with_variables)
    ours = next(iter(sensitive.values()))
    bench.compare(
        f"sensitive call, {VARIABLES:,} variables (asgi-sync) against none{loop}",
        {"asgi-sync": with_variables(ours, factory), "none set": one_by_one(ours, factory)},
    )


def listened(subject: Subject) -> Subject:
    """The same with a listener that does nothing."""

    def listener(event: object) -> None: ...

    def measure(n: int) -> float:
        with asgi_sync.instrumentation.listening(listener):
            return subject(n)

    return measure


def recorded(subject: Subject) -> Subject:
    """The same while it is recorded."""

    def measure(n: int) -> float:
        with asgi_sync.record():
            return subject(n)

    return measure


#: What a crossing does for those who want to be told of it, as long as there are none.
LOOK = "if listeners and not isinstance(self, Observed):"


def load_blind() -> ModuleType:
    """Import a copy of asgi-sync that does not look whether there are listeners."""
    name = "asgi_sync_blind"
    source = Path(asgi_sync.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(source, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        for module in ("_sync_to_async.py", "_async_to_sync.py"):
            text = (copy / module).read_text(encoding="utf-8")
            assert text.count(LOOK) == 1, "the look at the listeners is not where it was"
            (copy / module).write_text(text.replace(LOOK, "if False:"), encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(folder)


def observed(bench: Bench) -> None:
    """What it costs to be seen, and that nobody listens, which is what all other rows measure."""
    blind = load_blind()
    bench.compare(
        "sensitive call: looks for listeners, and does not",
        {
            "looks": one_by_one(asgi_sync.sync_to_async(work), None),
            "does not": one_by_one(blind.sync_to_async(work), None),
        },
    )
    bench.compare(
        "async_to_sync from a plain thread: looks for listeners, and does not",
        {
            "looks": statement("call()", {"call": asgi_sync.async_to_sync(awork)}),
            "does not": statement("call()", {"call": blind.async_to_sync(awork)}),
        },
    )
    to_thread = one_by_one(asgi_sync.sync_to_async(work), None)
    to_loop = statement("call()", {"call": asgi_sync.async_to_sync(awork)})
    for title, subject in (("sensitive call", to_thread), ("async_to_sync from a plain thread", to_loop)):
        bench.compare(
            f"{title}: seen by nobody, a listener, a recorder",
            {"nobody": subject, "a listener": listened(subject), "a recorder": recorded(subject)},
        )


def run(bench: Bench) -> None:
    asgiref, asgire = load_peer("asgiref").sync, load_peer("asgire").sync
    bridges = {"asgi-sync": asgi_sync, "asgiref": asgiref, "asgire": asgire}
    assert len({bridge.sync_to_async for bridge in bridges.values()}) == 3, "the peers are not three"
    anyio, bare = load_anyio(), Bare()
    for loop, factory in loop_factories().items():
        crossings(bench, bridges, anyio, bare, loop, factory)
    from_plain = {
        name: statement("call()", {"call": bridge.async_to_sync(awork)}) for name, bridge in bridges.items()
    }
    bench.compare(
        "async_to_sync from a plain thread",
        {
            **from_plain,
            "asyncio.run": statement("run(awork())", {"run": asyncio.run, "awork": awork}),
            "bare": statement("run(awork)", {"run": bare.run, "awork": awork}),
        },
    )
    worker = Worker()
    for title, wrap, function in (
        ("making a wrapper: sync_to_async", "sync_to_async", work),
        ("making a wrapper: async_to_sync", "async_to_sync", awork),
        ("making a wrapper of a method: sync_to_async", "sync_to_async", worker.work),
        ("making a wrapper of a method: async_to_sync", "async_to_sync", worker.awork),
    ):
        subjects = {
            name: statement("wrap(function)", {"wrap": getattr(bridge, wrap), "function": function})
            for name, bridge in bridges.items()
        }
        bench.compare(title, subjects)
    observed(bench)
