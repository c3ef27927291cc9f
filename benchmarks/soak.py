"""A minute of everything at once: hundreds of tasks cross both ways and are cancelled; nothing may pile up.

    python benchmarks/soak.py                     one minute
    python benchmarks/soak.py --seconds 600 --tasks 1000

Every second it prints the calls so far, the resident memory, the threads and the file descriptors. At the end
all tasks are through, the idle threads have ended, no task and no future is pending, and memory stayed flat:
otherwise it exits with status 1 and says what piled up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import faulthandler
import gc
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HERE = Path(__file__).parent
sys.path[:0] = [str(path) for path in sorted((HERE.parent / "packages").glob("*/src"))]

from asgi_local import Local  # noqa: E402  # after the path
from asgi_sync import ThreadSensitiveContext, async_to_sync, lowlevel, sync_to_async  # noqa: E402

IDLE_TIME = 1.0
#: What memory may grow by from the second quarter to the last one, as a share. Allocators and caches breathe.
ALLOWED_GROWTH = 0.05

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
local = Local()


class ExpectedError(Exception):
    """Raised on purpose."""


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# What the tasks do


def work() -> None:
    variable.set(variable.get() + 1)
    local.value = variable.get()


def fail() -> None:
    raise ExpectedError


async def awork() -> None:
    variable.set(variable.get() + 1)
    await asyncio.sleep(0)


async def deeper() -> None:
    await sync_to_async(work)()
    await asyncio.sleep(0)


async def crossing(rng: random.Random) -> None:
    await sync_to_async(work, thread_sensitive=rng.random() < 0.7)()


async def nested(rng: random.Random) -> None:
    await sync_to_async(async_to_sync(deeper), thread_sensitive=rng.random() < 0.7)()


async def in_context(rng: random.Random) -> None:
    async with ThreadSensitiveContext():
        await sync_to_async(work)()
        await nested(rng)


async def failing(rng: random.Random) -> None:
    try:
        await sync_to_async(fail)()
    except ExpectedError:
        pass


async def forced(rng: random.Random) -> None:
    await sync_to_async(async_to_sync(awork, force_new_loop=True), thread_sensitive=False)()


async def from_a_plain_thread(rng: random.Random) -> None:
    await asyncio.get_running_loop().run_in_executor(None, async_to_sync(deeper))


async def together(rng: random.Random) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(nested(rng))


async def timing_out(rng: random.Random) -> None:
    try:
        async with asyncio.timeout(rng.random() * 0.002):
            await nested(rng)
    except TimeoutError:
        pass


KINDS: list[Callable[[random.Random], Awaitable[None]]] = [
    crossing, crossing, crossing, nested, nested, in_context, in_context, failing, forced,
    from_a_plain_thread, together, timing_out,
]  # fmt: skip


@dataclass
class Soak:
    """The state of a run."""

    seconds: float
    tasks: int
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    unexpected: list[Any] = field(default_factory=list)
    abandoned: int = 0
    """Calls that were abandoned and raised then, which the loop was told of."""

    def told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler: what abandoned sync code raises comes here, by design."""
        if isinstance(context.get("exception"), ExpectedError):
            self.abandoned += 1
        else:
            self.unexpected.append(context)

    async def main(self) -> list[str]:
        asyncio.get_running_loop().set_exception_handler(self.told)
        end = time.monotonic() + self.seconds
        rng = random.Random(self.seed)
        workers = [
            asyncio.create_task(self.worker(end, random.Random(rng.random()))) for _ in range(self.tasks)
        ]
        watch = asyncio.create_task(self.watch(end))
        await asyncio.wait_for(asyncio.gather(*workers), self.seconds + 60)
        await watch
        left = asyncio.all_tasks() - {asyncio.current_task()}
        return [f"a task was left pending: {task!r}" for task in left]

    async def worker(self, end: float, rng: random.Random) -> None:
        while time.monotonic() < end:
            kind = rng.choice(KINDS)
            task = asyncio.ensure_future(kind(rng))
            name = getattr(kind, "__name__", "")
            if rng.random() < 0.2:
                await asyncio.wait([task], timeout=rng.random() * 0.01)
                task.cancel()
                name = "cancelled"
            await asyncio.wait([task], timeout=30)
            if not task.done():
                self.tell_and_exit(task)
            if not task.cancelled() and task.exception() is not None:
                self.unexpected.append(task.exception())
            self.done[name] += 1
            await asyncio.sleep(rng.random() * 0.01)

    def tell_and_exit(self, hanging: asyncio.Task[None]) -> None:
        """Show where everything stands; a run that hangs cannot be ended in another way."""
        print("a task hangs; tasks and threads:", file=sys.stderr)
        for task in asyncio.all_tasks():
            if self.worker.__code__ is not getattr(task.get_coro(), "cr_code", None):
                task.print_stack(limit=4, file=sys.stderr)
        hanging.print_stack(file=sys.stderr)
        faulthandler.dump_traceback(file=sys.stderr)
        os._exit(1)

    async def watch(self, end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(1)
            gc.collect()
            self.samples.append((resident(), threading.active_count(), descriptors()))
            memory, threads, files = self.samples[-1]
            print(
                f"{len(self.samples):4} s  {self.done.total():9,} calls  {memory / 2**20:7.1f} MiB"
                f"  {threads:4} threads  {files:4} descriptors",
                flush=True,
            )

    def verdict(self) -> list[str]:
        """Return what is wrong, line by line."""
        wrong = [f"unexpected: {what!r}" for what in self.unexpected[:5]]
        quarter = len(self.samples) // 4
        for name, index, allowed in (
            ("memory", 0, ALLOWED_GROWTH),
            ("threads", 1, 0.5),
            ("descriptors", 2, 0.5),
        ):
            early = statistics.median(sample[index] for sample in self.samples[quarter : 2 * quarter])
            late = statistics.median(sample[index] for sample in self.samples[-quarter:])
            growth = late / early - 1
            print(f"{name}: {early:,.0f} in the second quarter, {late:,.0f} in the last one ({growth:+.1%})")
            if late > early * (1 + allowed):
                wrong.append(f"{name} grew from {early:,.0f} to {late:,.0f}")
        return wrong


def pending() -> int:
    """Return how many futures that nobody will ever resolve are still in memory."""
    gc.collect()
    return sum(1 for thing in gc.get_objects() if isinstance(thing, asyncio.Future) and not thing.done())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--seed", type=int, help="of the random numbers (default: a new one, printed)")
    options = parser.parse_args()
    if options.seconds < 8:
        parser.error("--seconds must be 8 or more, to have quarters to compare")
    seed = random.randrange(2**32) if options.seed is None else options.seed
    lowlevel.set_worker_idle_time(IDLE_TIME)
    before = threading.active_count()
    soak = Soak(options.seconds, options.tasks, seed)
    print(f"Python {sys.version.split()[0]}, {options.tasks} tasks, {options.seconds:g} s, seed {seed}")
    wrong = asyncio.run(soak.main())
    wrong += soak.verdict()
    limit = time.monotonic() + 10 * IDLE_TIME
    # The process's own sensitive thread may stay.
    while threading.active_count() > before + 1 and time.monotonic() < limit:
        time.sleep(0.05)
    print(f"afterwards: {threading.active_count()} threads ({before} before), {pending()} pending futures")
    print(", ".join(f"{count:,} {name}" for name, count in soak.done.most_common()))
    print(f"{soak.abandoned:,} abandoned calls raised, and the loop's exception handler was told")
    if threading.active_count() > before + 1:
        wrong.append(f"threads stayed: {[thread.name for thread in threading.enumerate()]}")
    if pending():
        wrong.append(f"{pending()} futures are still pending")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
