"""`thread_sensitive=False` on the standard library's thread pools, whose futures are left out."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from asgi_sync import sync_to_async

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["plain", "subclass"])
def kind(request: pytest.FixtureRequest) -> type[ThreadPoolExecutor]:
    """The pool itself, and one that is asked through its `submit`: both behave the same."""

    class Subclass(ThreadPoolExecutor):
        pass

    return ThreadPoolExecutor if request.param == "plain" else Subclass


async def test_it_runs_on_the_pools_threads_as_many_at_a_time_as_there_are(
    kind: type[ThreadPoolExecutor],
) -> None:
    with kind(3, thread_name_prefix="pool") as pool:
        meeting = threading.Barrier(3, timeout=30)

        def meet(number: int) -> tuple[int, str]:
            meeting.wait()
            return number, threading.current_thread().name

        crossing = sync_to_async(meet, thread_sensitive=False, executor=pool)
        results = await asyncio.gather(*map(crossing, range(3)))
        assert [number for number, _ in results] == [0, 1, 2]
        assert {name for _, name in results} == {"pool_0", "pool_1", "pool_2"}
        assert len(pool._threads) == 3


async def test_an_idle_thread_is_used_again(kind: type[ThreadPoolExecutor]) -> None:
    with kind(8) as pool:
        crossing = sync_to_async(threading.get_ident, thread_sensitive=False, executor=pool)
        for _ in range(30):
            await crossing()
            # A thread is idle a moment after its work is done; wait until it says so.
            await asyncio.wrap_future(pool.submit(int))
        assert len(pool._threads) < 8


async def test_a_pool_that_was_shut_down_says_so(kind: type[ThreadPoolExecutor]) -> None:
    pool = kind()
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        await sync_to_async(int, thread_sensitive=False, executor=pool)()


async def test_shutdown_with_cancel_futures_cancels_what_waits(kind: type[ThreadPoolExecutor]) -> None:
    pool = kind(1)
    begun, end = threading.Event(), threading.Event()

    def block() -> str:
        begun.set()
        assert end.wait(30)
        return "done"

    first = asyncio.ensure_future(sync_to_async(block, thread_sensitive=False, executor=pool)())
    second = asyncio.ensure_future(sync_to_async(int, thread_sensitive=False, executor=pool)())
    await asyncio.to_thread(begun.wait, 30)
    await asyncio.sleep(0)
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(asyncio.CancelledError):
        await second
    end.set()
    assert await first == "done"


async def test_a_pool_whose_initializer_fails(
    kind: type[ThreadPoolExecutor], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise LookupError("mine")

    caplog.set_level(logging.CRITICAL + 1, "concurrent.futures")
    pool = kind(1, initializer=fail)
    for _ in range(2):
        with pytest.raises(BrokenExecutor):
            await sync_to_async(int, thread_sensitive=False, executor=pool)()


async def test_a_call_that_is_cancelled_before_it_begins_never_runs(kind: type[ThreadPoolExecutor]) -> None:
    with kind(1) as pool:
        begun, end, ran = threading.Event(), threading.Event(), threading.Event()

        def block() -> None:
            begun.set()
            assert end.wait(30)

        first = asyncio.ensure_future(sync_to_async(block, thread_sensitive=False, executor=pool)())
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.ensure_future(sync_to_async(ran.set, thread_sensitive=False, executor=pool)())
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        end.set()
        await first
        await sync_to_async(int, thread_sensitive=False, executor=pool)()
        assert not ran.is_set()


async def test_a_replaced_submit_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instrumentation replaces it, on the class or on one pool, to carry its context along."""
    seen: list[str] = []
    submit: Any = ThreadPoolExecutor.submit

    def on_class(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        seen.append("class")
        return submit(self, fn, *args)  # type: ignore[no-any-return]  # the original's future

    with ThreadPoolExecutor(1) as pool:
        crossing = sync_to_async(threading.get_ident, thread_sensitive=False, executor=pool)
        with monkeypatch.context() as patch:
            patch.setattr(ThreadPoolExecutor, "submit", on_class)
            await crossing()
        await crossing()
        assert seen == ["class"]
        with monkeypatch.context() as patch:
            patch.setattr(pool, "submit", lambda *args: seen.append("pool") or submit(pool, *args))
            await crossing()
        await crossing()
        assert seen == ["class", "pool"]


async def test_the_loops_default_executor_is_used() -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="default")
    asyncio.get_running_loop().set_default_executor(pool)
    crossing = sync_to_async(threading.current_thread, thread_sensitive=False)
    assert (await crossing()).name == "default_0"


async def test_without_a_default_executor_asyncio_makes_one() -> None:
    crossing = sync_to_async(threading.current_thread, thread_sensitive=False)
    threads = [await crossing() for _ in range(3)]
    # Where asyncio's own calls run, too; it starts another thread if those are not idle yet.
    threads.append(await asyncio.to_thread(threading.current_thread))
    assert len({thread.name.rpartition("_")[0] for thread in threads}) == 1
