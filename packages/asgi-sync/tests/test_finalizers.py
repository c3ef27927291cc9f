"""The collector may run a finalizer anywhere, whatever its thread is about: there it may cross as well."""

import atexit
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    BlockingPortal,
    _loops,
    _parked,
    _portals,
    _scopes,
    _worker,
    async_to_sync,
    process_portal,
    record,
    start_blocking_portal,
)
from asgi_sync._frame import CurrentThreadExecutor, SubmittedWork
from asgi_sync._work_queue import WorkQueue

Collect = Callable[[Any, str, Callable[[], object]], None]


@pytest.fixture
def in_the_midst_of(monkeypatch: pytest.MonkeyPatch) -> Collect:
    """Have a finalizer run, once, when an attribute of something is called next."""

    def collect(owner: Any, name: str, finalizer: Callable[[], object]) -> None:
        function = getattr(owner, name)

        def collect_and_call(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(owner, name, function)
            finalizer()
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, collect_and_call)

    return collect


def test_queues_work_where_its_thread_does(in_thread: Callable[..., Any], in_the_midst_of: Collect) -> None:
    ran: list[str] = []

    def body() -> None:
        executor = CurrentThreadExecutor(None)
        late = SubmittedWork(ran.append, ("the finalizer's",), {})
        in_the_midst_of(WorkQueue, "put", lambda: executor.home.submit(late))
        assert executor.home.submit(SubmittedWork(ran.append, ("ours",), {}))
        executor.quit()

    in_thread(body, timeout=20)
    assert sorted(ran) == ["ours", "the finalizer's"]


def test_needs_a_thread_where_its_own_borrows_one(
    in_thread: Callable[..., Any], in_the_midst_of: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An iterator whose thread has gone is closed on another one."""
    monkeypatch.setattr(_worker, "pool", _worker.WorkerPool())
    executor = _worker.SensitiveExecutor()
    futures: list[Future[str]] = []

    def body() -> list[str]:
        in_the_midst_of(_worker, "Worker", lambda: futures.append(executor.submit(lambda: "the finalizer's")))
        futures.append(executor.submit(lambda: "ours"))
        results = [future.result(60) for future in futures]
        # One was quicker: the thread of the other is there for whoever comes next.
        while not _worker.pool._idle:
            time.sleep(0.001)
        return results

    try:
        assert in_thread(body, timeout=20) == ["the finalizer's", "ours"]
        assert len(_worker.pool._all) == 2
    finally:
        executor.shutdown()
        _worker.pool._stop_all()


def test_gives_work_to_a_thread_of_an_executor_where_its_own_does(
    in_thread: Callable[..., Any], in_the_midst_of: Collect
) -> None:
    class Early(list[Any]):
        """A list whose methods can be replaced."""

    def body() -> list[str]:
        is_free = threading.Event()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(is_free.wait, 60)
            parked = _parked.ParkedThread(executor)
            early = parked._early = Early()
            futures = []
            in_the_midst_of(early, "append", lambda: futures.append(parked.submit(lambda: "the finalizer's")))
            futures.append(parked.submit(lambda: "ours"))
            is_free.set()
            try:
                return [future.result(60) for future in futures]
            finally:
                parked._end()

    assert in_thread(body, timeout=20) == ["the finalizer's", "ours"]


async def thing() -> str:
    return "a thing"


def test_runs_a_coroutine_where_its_thread_starts_a_loop(
    in_thread: Callable[..., Any], in_the_midst_of: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loops._registry, "_has_exit_hook", False)

    def body() -> None:
        in_the_midst_of(atexit, "register", lambda: things.append(async_to_sync(thing)()))
        things.append(async_to_sync(thing)())

    things: list[str] = []
    in_thread(body, timeout=20)
    assert things == ["a thing"] * 2


def test_runs_a_coroutine_where_its_thread_starts_the_loop_of_a_block(
    in_thread: Callable[..., Any], in_the_midst_of: Collect
) -> None:
    def body() -> int:
        before = len(_loops._registry._threads)
        with AsyncSingleThreadContext():
            in_the_midst_of(_scopes, "LoopThread", lambda: threads.append(async_to_sync(ident)()))
            threads.append(async_to_sync(ident)())
            threads.append(async_to_sync(ident)())
        return len(_loops._registry._threads) - before

    async def ident() -> int:
        return threading.get_ident()

    threads: list[int] = []
    in_thread(body, timeout=20)
    assert len(threads) == 3
    assert len(set(threads)) == 1


def test_uses_a_portal_where_its_thread_does(in_thread: Callable[..., Any], in_the_midst_of: Collect) -> None:
    def body() -> None:
        with start_blocking_portal() as portal:
            in_the_midst_of(_loops.LoopThread, "submit", lambda: things.append(portal.call(thing)))
            things.append(portal.call(thing))

    things: list[str] = []
    in_thread(body, timeout=20)
    assert things == ["a thing"] * 2


def test_uses_the_process_s_portal_where_its_thread_makes_it(
    in_thread: Callable[..., Any], in_the_midst_of: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> None:
        in_the_midst_of(_portals, "LoopThread", lambda: portals.append(process_portal()))
        portals.append(process_portal())
        portals.append(process_portal())

    monkeypatch.setattr(_portals, "_shared", _portals._Shared())
    portals: list[BlockingPortal] = []
    in_thread(body, timeout=20)
    assert len(portals) == 3
    assert len(set(portals)) == 1
    assert portals[0].call(thing) == "a thing"
    portals[0]._stop()


def test_crosses_where_its_thread_looks_at_a_recording(
    in_thread: Callable[..., Any], in_the_midst_of: Collect
) -> None:
    def body() -> int:
        with record() as recording:
            async_to_sync(thing)()
            in_the_midst_of(recording, "_unfinished", lambda: async_to_sync(thing)())
            assert len(recording.crossings) == 1
            return len(recording.crossings)

    assert in_thread(body, timeout=20) == 2
