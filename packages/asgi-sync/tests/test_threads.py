"""Threads: a handful for any number of requests, ended when idle, never shared by what must be apart."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_sync import ThreadSensitiveContext, _worker, async_to_sync, lowlevel, sync_to_async

InThread = Callable[..., Any]
RunProgram = Callable[..., str]
REQUESTS = 10_000 if os.environ.get("STRESS") else 500


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads started during a test."""
    threads: list[threading.Thread] = []
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        threads.append(self)
        original(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    return threads


@pytest.fixture
def short_idle_time() -> Iterator[None]:
    """Let idle threads end after 50 ms."""
    before = lowlevel.set_worker_idle_time(0.05)
    yield
    lowlevel.set_worker_idle_time(10.0 if before is None else before)


def becomes(condition: Callable[[], bool], within: float = 40) -> bool:
    """Whether a condition comes true in time (seconds)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


async def request() -> None:
    async with ThreadSensitiveContext():
        for _ in range(3):
            await sync_to_async(int)()


def test_thousands_of_requests_start_a_handful_of_threads(
    in_thread: InThread, started: list[threading.Thread]
) -> None:
    """asgiref 3.13.0 starts two for each: one for the context and one more to join it."""

    async def main() -> None:
        for _ in range(REQUESTS):
            await request()

    in_thread(main(), timeout=100)
    assert len(started) < 10


def test_concurrent_requests_start_no_more_threads_than_they_need(
    in_thread: InThread, started: list[threading.Thread]
) -> None:
    """Ten at a time, a thousand in all."""

    async def worker() -> None:
        for _ in range(100):
            await request()

    async def main() -> None:
        await asyncio.gather(*(worker() for _ in range(10)))

    in_thread(main(), timeout=60)
    assert len(started) < 40


def test_calls_from_a_plain_thread_start_a_handful_of_threads(
    in_thread: InThread, started: list[threading.Thread]
) -> None:
    """asgiref 3.13.0 starts one for each call."""

    async def work() -> None: ...

    def main() -> None:
        for _ in range(1000):
            async_to_sync(work)()

    in_thread(main)
    assert len(started) < 5


def test_idle_threads_end_by_themselves(run_program: RunProgram) -> None:
    """After the idle time there are as many threads as before the work."""
    out = run_program(
        """
        import asyncio, threading, time
        from asgi_sync import ThreadSensitiveContext, async_to_sync, lowlevel, sync_to_async

        lowlevel.set_worker_idle_time(0.05)
        before = set(threading.enumerate())

        async def request():
            async with ThreadSensitiveContext():
                await sync_to_async(int)()

        async def main():
            await asyncio.gather(*(request() for _ in range(20)))

        async_to_sync(request)()
        asyncio.run(main())
        async_to_sync(main)()
        end = time.monotonic() + 30
        while set(threading.enumerate()) != before and time.monotonic() < end:
            time.sleep(0.01)
        print([thread.name for thread in set(threading.enumerate()) - before if "asgi" not in thread.name])
        print(len(threading.enumerate()) - len(before) <= 1)  # the process's own sensitive thread may stay

        # and everything works again
        asyncio.run(main())
        async_to_sync(request)()
        """
    )
    assert out == "[]\nTrue\n"


def test_the_idle_time_must_be_a_number_of_seconds() -> None:
    for wrong in (-1, "ten", None):
        with pytest.raises((TypeError, ValueError)):
            lowlevel.set_worker_idle_time(wrong)  # type: ignore[arg-type]


def test_an_idle_time_without_end(run_program: RunProgram) -> None:
    """No wait of the operating system's is as long as that."""
    errors: list[str] = []
    run_program(
        """
        import asyncio
        from asgi_sync import ThreadSensitiveContext, async_to_sync, lowlevel, sync_to_async

        lowlevel.set_worker_idle_time(float("inf"))

        async def request():
            async with ThreadSensitiveContext():
                await sync_to_async(int)()

        async def requests():
            for _ in range(20):
                await request()

        for _ in range(20):
            async_to_sync(request)()
        asyncio.run(requests())
        """,
        errors=errors,
    )
    assert errors == [""]


def test_a_thread_is_used_again_by_the_next_context(
    in_thread: InThread, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back = threading.Event()
    take_back = _worker.pool.take_back

    def take_back_and_tell(worker: _worker.Worker) -> None:
        take_back(worker)
        is_back.set()

    monkeypatch.setattr(_worker.pool, "take_back", take_back_and_tell)

    async def main() -> None:
        for _ in range(100):
            is_back.clear()
            async with ThreadSensitiveContext():
                await sync_to_async(int)()
            assert is_back.wait(60)

    in_thread(main())
    assert len(started) <= 2  # the one that runs this, and at most one worker


@pytest.mark.usefixtures("short_idle_time")
def test_a_thread_does_not_end_under_a_call_that_comes_at_that_moment(in_thread: InThread) -> None:
    """Calls come just when the idle time is over, again and again: none is lost."""
    lowlevel.set_worker_idle_time(0.001)

    async def main() -> None:
        for i in range(300 if os.environ.get("STRESS") else 100):
            await request()
            await asyncio.sleep(0.0008 + (i % 10) * 0.0001)

    in_thread(main(), timeout=60)


def test_a_context_keeps_its_thread_while_it_is_idle(in_thread: InThread) -> None:
    """Database connections live on it: it does not end and change between two calls of one context."""
    before = lowlevel.set_worker_idle_time(0.01)

    async def main() -> set[threading.Thread]:
        threads = set()
        async with ThreadSensitiveContext():
            for _ in range(5):
                threads.add(await sync_to_async(threading.current_thread)())
                await asyncio.sleep(0.05)
        return threads

    try:
        assert len(in_thread(main())) == 1
    finally:
        lowlevel.set_worker_idle_time(10.0 if before is None else before)


def test_thread_locals_of_a_context_do_not_reach_the_next_one(in_thread: InThread) -> None:
    """A kept thread carries the thread-locals of whoever used it before, as every pool does. What
    matters is that two contexts at once are apart; ``thread_critical`` data is up to the program to close,
    as with the one sensitive thread of the process."""
    local = threading.local()

    async def use(name: str, together: asyncio.Barrier) -> str:
        async with ThreadSensitiveContext():
            await sync_to_async(setattr)(local, "name", name)
            await together.wait()
            result: str = await sync_to_async(getattr)(local, "name")
            await together.wait()
            return result

    async def main() -> list[str]:
        together = asyncio.Barrier(8)
        return list(await asyncio.gather(*(use(f"{i}", together) for i in range(8))))

    assert in_thread(main()) == [f"{i}" for i in range(8)]


def test_threads_have_names_that_say_whose_they_are(in_thread: InThread) -> None:
    """Seen in debuggers and in py-spy."""

    async def main() -> list[str]:
        names = [(await sync_to_async(threading.current_thread)()).name]
        async with ThreadSensitiveContext():
            names.append((await sync_to_async(threading.current_thread)()).name)
        return names

    for name in in_thread(main()):
        assert not name.startswith("Thread-")


def test_the_main_thread_is_not_kept_waiting_by_idle_threads(run_program: RunProgram) -> None:
    """However long they are kept, the program ends at once."""
    run_program(
        """
        import asyncio
        from asgi_sync import ThreadSensitiveContext, async_to_sync, lowlevel, sync_to_async

        lowlevel.set_worker_idle_time(3600)

        async def request():
            async with ThreadSensitiveContext():
                await sync_to_async(int)()

        asyncio.run(request())
        async_to_sync(request)()
        """
    )
