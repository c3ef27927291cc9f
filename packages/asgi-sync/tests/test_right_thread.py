"""Sensitive code runs on the right thread, in order, and nobody starves."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asgi_sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async

ident = threading.get_ident
InThread = Callable[..., Any]


def sensitive_thread_below_a_hop() -> int:
    """Sync code that runs on some pool thread and goes on to sensitive code below it."""

    async def inner() -> int:
        return await sync_to_async(ident)()

    return async_to_sync(inner)()


async def through_an_insensitive_hop() -> int:
    return await sync_to_async(sensitive_thread_below_a_hop, thread_sensitive=False)()


@pytest.mark.parametrize("context", [True, False])
def test_an_insensitive_hop_does_not_move_later_code_off_the_thread(
    in_thread: InThread, context: bool
) -> None:
    """asgiref 3.13.0 runs the innermost code on the thread of the hop (#357)."""

    def view() -> tuple[int, int]:
        return ident(), async_to_sync(through_an_insensitive_hop)()

    async def main() -> tuple[int, int]:
        if context:
            async with ThreadSensitiveContext():
                return await sync_to_async(view)()
        return await sync_to_async(view)()

    outer, inner = in_thread(main())
    assert outer == inner


def test_an_insensitive_hop_does_not_move_later_code_off_a_sync_root(in_thread: InThread) -> None:
    """asgiref 3.13.0 runs the innermost code on the thread of the hop (#357)."""

    def root() -> tuple[int, int]:
        return ident(), async_to_sync(through_an_insensitive_hop)()

    outer, inner = in_thread(root)
    assert outer == inner


def test_an_insensitive_hop_without_a_sensitive_frame_above(in_thread: InThread) -> None:
    """The sensitive code below it runs where sensitive code of this loop always runs.

    asgiref 3.13.0 runs it on the thread of the hop: two threads for the sensitive code of one root.
    """

    async def main() -> tuple[int, int]:
        return await sync_to_async(ident)(), await through_an_insensitive_hop()

    outer, inner = in_thread(main())
    assert outer == inner


def test_an_insensitive_hop_in_a_context_without_a_sensitive_frame_above(in_thread: InThread) -> None:
    async def main() -> tuple[int, int]:
        async with ThreadSensitiveContext():
            return await sync_to_async(ident)(), await through_an_insensitive_hop()

    outer, inner = in_thread(main())
    assert outer == inner


@pytest.mark.parametrize("root", ["async", "sync", "context"])
def test_everything_sensitive_below_a_root_runs_on_one_thread(in_thread: InThread, root: str) -> None:
    threads: set[int] = set()

    async def tree(level: int) -> None:
        def frame() -> None:
            threads.add(ident())
            if level:
                async_to_sync(tree)(level - 1)

        await asyncio.create_task(sync_to_async(frame)())
        await asyncio.gather(*(sync_to_async(frame)() for _ in range(2)))

    async def main() -> None:
        if root == "context":
            async with ThreadSensitiveContext():
                await tree(3)
        else:
            await tree(3)

    if root == "sync":

        def start() -> None:
            threads.add(ident())
            async_to_sync(main)()

        in_thread(start)
    else:
        in_thread(main())
    assert len(threads) == 1


@pytest.mark.parametrize("root", ["async", "sync", "context"])
def test_sensitive_calls_run_in_the_order_in_which_they_were_made(in_thread: InThread, root: str) -> None:
    async def burst() -> list[int]:
        order: list[int] = []
        await asyncio.gather(*(sync_to_async(order.append)(i) for i in range(200)))
        return order

    async def main() -> list[int]:
        if root == "context":
            async with ThreadSensitiveContext():
                return await burst()
        return await burst()

    order = in_thread(async_to_sync(main) if root == "sync" else main())
    assert order == list(range(200))


def test_calls_of_one_task_run_in_order_while_others_call_too(in_thread: InThread) -> None:
    async def main() -> dict[int, list[int]]:
        seen: dict[int, list[int]] = {who: [] for who in range(10)}

        async def caller(who: int) -> None:
            for i in range(50):
                await sync_to_async(seen[who].append)(i)

        await asyncio.gather(*(caller(who) for who in seen))
        return seen

    for order in in_thread(main()).values():
        assert order == list(range(50))


@pytest.mark.parametrize("root", ["async", "sync", "context"])
def test_no_caller_starves(in_thread: InThread, root: str) -> None:
    """When the first of many callers is through, the last one is not far behind."""

    async def race() -> Counter[int]:
        count: Counter[int] = Counter()
        at_the_first_finish: Counter[int] = Counter()

        def work(who: int) -> None:
            count[who] += 1

        async def caller(who: int) -> None:
            for _ in range(100):
                await sync_to_async(work)(who)
            if not at_the_first_finish:
                at_the_first_finish.update(count)

        await asyncio.gather(*(caller(who) for who in range(20)))
        return at_the_first_finish

    async def main() -> Counter[int]:
        if root == "context":
            async with ThreadSensitiveContext():
                return await race()
        return await race()

    counts = in_thread(async_to_sync(main) if root == "sync" else main())
    assert len(counts) == 20
    assert min(counts.values()) >= 90


def test_no_caller_of_several_loops_starves(in_thread: InThread) -> None:
    """Loops in several threads share the one sensitive thread of the process, and each gets its turn.

    None stops before all have had many calls: one that starves would keep the others running.
    """
    count: Counter[int] = Counter()
    threads: set[int] = set()
    barrier = threading.Barrier(4)

    def work(who: int) -> None:
        count[who] += 1
        threads.add(ident())

    async def caller(who: int) -> None:
        while min(count[other] for other in range(4)) < 50:
            await sync_to_async(work)(who)

    def run(who: int) -> None:
        barrier.wait(40)
        asyncio.run(caller(who))

    def main() -> None:
        runners = [threading.Thread(target=run, args=(who,), daemon=True) for who in range(4)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join(40)
        assert not any(runner.is_alive() for runner in runners)

    in_thread(main, timeout=90)
    assert len(threads) == 1
    assert min(count.values()) >= 50


def test_two_contexts_alive_at_once_never_share_a_thread(in_thread: InThread) -> None:
    async def main() -> list[set[int]]:
        together = asyncio.Barrier(40)

        async def request() -> set[int]:
            async with ThreadSensitiveContext():
                threads = {await sync_to_async(ident)()}
                await together.wait()
                threads |= {await sync_to_async(ident)() for _ in range(3)}
                await together.wait()
            return threads

        return list(await asyncio.gather(*(request() for _ in range(40))))

    threads = in_thread(main())
    assert all(len(own) == 1 for own in threads)
    assert len(set().union(*threads)) == 40


def test_a_context_of_a_subclass_in_another_loop_has_a_thread_of_its_own(in_thread: InThread) -> None:
    class Mine(ThreadSensitiveContext):
        pass

    async def main() -> int:
        async with Mine():
            first = await sync_to_async(ident)()
            assert await asyncio.to_thread(asyncio.run, other()) != first
            return first

    async def other() -> int:
        async with Mine():
            return await sync_to_async(ident)()

    # asyncio.to_thread copies the context: the inner run sees the outer choice and keeps it. A thread without
    # that context chooses anew.
    async def apart() -> tuple[int, int]:
        async with Mine():
            first = await sync_to_async(ident)()
            loop = asyncio.get_running_loop()
            return first, await loop.run_in_executor(None, asyncio.run, other())

    first, second = in_thread(apart())
    assert first != second


def test_sensitive_work_of_two_sync_roots_stays_apart(in_thread: InThread) -> None:
    together = threading.Barrier(2)

    async def inner() -> int:
        await asyncio.to_thread(together.wait, 40)
        return await sync_to_async(ident)()

    def root() -> bool:
        return async_to_sync(inner)() == ident()

    def main() -> list[bool]:
        results: list[bool] = []
        other = threading.Thread(target=lambda: results.append(root()), daemon=True)
        other.start()
        results.append(root())
        other.join(40)
        return results

    assert in_thread(main) == [True, True]


def test_work_submitted_by_others_to_the_single_thread_keeps_its_place(in_thread: InThread) -> None:
    """Jobs of the default ThreadPoolExecutor face and calls of ours go through one queue."""
    order: list[str] = []
    release = threading.Event()

    async def main() -> None:
        blocker = asyncio.create_task(sync_to_async(release.wait)(40))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        SyncToAsync.single_thread_executor.submit(order.append, "submitted")
        call = asyncio.create_task(sync_to_async(order.append)("called"))
        await asyncio.sleep(0)
        release.set()
        await blocker
        await call

    in_thread(main())
    assert order == ["submitted", "called"]


GEVENT = """
from gevent import monkey
monkey.patch_all()
import asyncio, threading
from asgi_sync import async_to_sync, sync_to_async

async def inner():
    await asyncio.sleep(0.01)
    return await sync_to_async(lambda: 5)()

try:
    print(async_to_sync(inner)())
    print(asyncio.run(inner()))
except RuntimeError as exc:
    assert "gevent" in str(exc), exc
    print(exc)
"""


def test_a_program_patched_by_gevent_works_or_is_told(run_program: Callable[..., str]) -> None:
    """asgiref #443."""
    pytest.importorskip("gevent")
    out = run_program(GEVENT, options=("-W", "ignore"))
    assert out == "5\n5\n" or "gevent" in out
