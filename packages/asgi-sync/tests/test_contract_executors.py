"""Contract: the executors and class-level state that others replace, inject and read."""

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from asgi_sync import (
    AsyncToSync,
    CurrentThreadExecutor,
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    sync_to_async,
)

ident = threading.get_ident


class Minimal:
    """The least that an executor can be: ``submit`` alone, running in a thread of its own."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.threads: list[int] = []

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        self.jobs.append(fn)
        future: Future[Any] = Future()

        def run() -> None:
            self.threads.append(ident())
            try:
                future.set_result(fn(*args))
            except BaseException as exc:
                future.set_exception(exc)

        threading.Thread(target=run, daemon=True).start()
        return future


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="foreign") as executor:
        yield executor


# SyncToAsync.single_thread_executor


def test_the_default_is_a_thread_pool_with_the_usual_private_parts() -> None:
    """pytest-django-asyncio and Airflow look into ``_threads`` and ``_shutdown``."""
    executor = SyncToAsync.single_thread_executor
    assert isinstance(executor, ThreadPoolExecutor)
    assert executor._max_workers == 1
    assert executor._shutdown is False
    assert isinstance(executor._threads, set)


@pytest.mark.asyncio
async def test_the_default_runs_on_one_thread_that_it_shows() -> None:
    thread = await sync_to_async(threading.current_thread)()
    assert await sync_to_async(threading.current_thread)() is thread
    assert thread in SyncToAsync.single_thread_executor._threads


@pytest.mark.asyncio
async def test_the_default_takes_jobs_from_others() -> None:
    """Others submit to it to reach the thread of sensitive code."""
    thread = await sync_to_async(ident)()
    future = SyncToAsync.single_thread_executor.submit(ident)
    assert await asyncio.wait_for(asyncio.wrap_future(future), 40) == thread
    future = SyncToAsync.single_thread_executor.submit(divmod, 7, 2)
    assert await asyncio.wait_for(asyncio.wrap_future(future), 40) == (3, 1)


@pytest.mark.asyncio
async def test_a_replacement_is_used_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """django-bolt replaces it with an object that has ``submit`` and nothing else."""
    wrapper = sync_to_async(ident)
    default = await wrapper()
    replacement = Minimal()
    monkeypatch.setattr(SyncToAsync, "single_thread_executor", replacement)
    assert [await wrapper()] == replacement.threads
    monkeypatch.undo()
    assert await wrapper() == default


@pytest.mark.asyncio
async def test_a_replacement_thread_pool_is_used(
    monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    """Airflow's and others' fork children put a new pool in place of the inherited one."""
    monkeypatch.setattr(SyncToAsync, "single_thread_executor", pool)
    thread = await sync_to_async(threading.current_thread)()
    assert thread.name.startswith("foreign")


@pytest.mark.asyncio
async def test_none_means_the_default_executor_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    asyncio.get_running_loop().set_default_executor(pool)
    monkeypatch.setattr(SyncToAsync, "single_thread_executor", None)
    thread = await sync_to_async(threading.current_thread)()
    assert thread.name.startswith("foreign")


@pytest.mark.asyncio
async def test_a_subclass_may_have_an_executor_of_its_own(pool: ThreadPoolExecutor) -> None:
    class Mine(SyncToAsync[Any, Any]):
        single_thread_executor = pool

    assert (await Mine(threading.current_thread)()).name.startswith("foreign")
    assert not (await sync_to_async(threading.current_thread)()).name.startswith("foreign")


# The executors of calls that are not sensitive


@pytest.mark.asyncio
async def test_a_call_that_is_not_sensitive_uses_the_default_executor_of_the_loop(
    pool: ThreadPoolExecutor,
) -> None:
    asyncio.get_running_loop().set_default_executor(pool)
    thread = await sync_to_async(threading.current_thread, thread_sensitive=False)()
    assert thread.name.startswith("foreign")


@pytest.mark.asyncio
async def test_a_given_executor_is_used(pool: ThreadPoolExecutor) -> None:
    wrapper = sync_to_async(threading.current_thread, thread_sensitive=False, executor=pool)
    assert (await wrapper()).name.startswith("foreign")


@pytest.mark.asyncio
async def test_the_job_of_a_foreign_executor_is_a_partial_of_thread_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """django-asyncxray, and agents that patch ``ThreadPoolExecutor.submit``, take the job apart."""
    foreign = Minimal()
    wrapper = SyncToAsync(ident, thread_sensitive=False, executor=foreign)  # type: ignore[arg-type]
    await wrapper()
    monkeypatch.setattr(SyncToAsync, "single_thread_executor", foreign)
    other = SyncToAsync(ident)
    await other()
    for job, owner in zip(foreign.jobs, (wrapper, other), strict=True):
        assert isinstance(job, functools.partial)
        assert job.func.__name__ == "thread_handler"
        assert job.func.__self__ is owner  # type: ignore[attr-defined]
        assert job.args[0] is asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_a_patched_thread_pool_sees_the_jobs_of_a_foreign_pool(
    monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    original = ThreadPoolExecutor.submit
    jobs: list[Any] = []

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        jobs.append(fn)
        return original(self, fn, *args, **kwargs)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    await sync_to_async(ident, thread_sensitive=False, executor=pool)()
    assert [job.func.__name__ for job in jobs] == ["thread_handler"]


# ThreadSensitiveContext and SyncToAsync.context_to_thread_executor


@pytest.mark.asyncio
async def test_an_executor_set_for_a_context_is_used(pool: ThreadPoolExecutor) -> None:
    """Four projects inject their own worker pools in this way."""
    async with ThreadSensitiveContext() as context:
        SyncToAsync.context_to_thread_executor[context] = pool
        assert (await sync_to_async(threading.current_thread)()).name.startswith("foreign")


@pytest.mark.asyncio
async def test_an_executor_with_submit_alone_is_enough_for_a_context() -> None:
    """On exit asgiref calls ``shutdown()`` of what it finds in the table."""

    class Worker(Minimal):
        shutdowns = 0

        def shutdown(self) -> None:
            self.shutdowns += 1

    worker = Worker()
    async with ThreadSensitiveContext() as context:
        SyncToAsync.context_to_thread_executor[context] = worker  # type: ignore[assignment]
        assert [await sync_to_async(ident)()] == worker.threads


@pytest.mark.asyncio
async def test_the_entry_is_there_until_its_owner_deletes_it(pool: ThreadPoolExecutor) -> None:
    async with ThreadSensitiveContext() as context:
        SyncToAsync.context_to_thread_executor[context] = pool
        await sync_to_async(ident)()
        assert SyncToAsync.context_to_thread_executor[context] is pool
        del SyncToAsync.context_to_thread_executor[context]
        assert not (await sync_to_async(threading.current_thread)()).name.startswith("foreign")


@pytest.mark.asyncio
async def test_an_entry_that_was_not_made_by_hand_can_be_taken_out_as_well() -> None:
    """Servers pop it after the request, to end the thread themselves."""
    async with ThreadSensitiveContext() as context:
        thread = await sync_to_async(ident)()
        executor = SyncToAsync.context_to_thread_executor.pop(context)
        future = executor.submit(ident)
        assert await asyncio.wait_for(asyncio.wrap_future(future), 40) == thread
        executor.shutdown()


@pytest.mark.asyncio
async def test_a_context_set_by_hand_is_honoured(pool: ThreadPoolExecutor) -> None:
    """django-bolt and djust set the variable and the table themselves, without entering the context."""
    context = ThreadSensitiveContext()
    token = SyncToAsync.thread_sensitive_context.set(context)
    SyncToAsync.context_to_thread_executor[context] = pool
    try:
        assert (await sync_to_async(threading.current_thread)()).name.startswith("foreign")
        del SyncToAsync.context_to_thread_executor[context]
    finally:
        SyncToAsync.thread_sensitive_context.reset(token)


@pytest.mark.asyncio
async def test_the_context_is_reentrant_and_the_outermost_counts() -> None:
    """Django's ASGIHandler enters one that a test client may have entered already."""
    async with ThreadSensitiveContext() as outer:
        assert SyncToAsync.thread_sensitive_context.get() is outer
        thread = await sync_to_async(ident)()
        async with ThreadSensitiveContext() as inner:
            assert SyncToAsync.thread_sensitive_context.get() is outer
            assert inner.token is None
            assert await sync_to_async(ident)() == thread
        assert await sync_to_async(ident)() == thread
    assert SyncToAsync.thread_sensitive_context.get(None) is None


@pytest.mark.asyncio
async def test_the_token_of_a_context_tells_whether_it_is_entered() -> None:
    context = ThreadSensitiveContext()
    assert context.token is None
    async with context:
        assert isinstance(context.token, contextvars.Token)
    assert context.token is None


@pytest.mark.asyncio
async def test_a_plain_context_can_be_entered_again() -> None:
    context = ThreadSensitiveContext()
    for _ in range(3):
        async with context as entered:
            assert entered is context
            first = await sync_to_async(ident)()
            assert await sync_to_async(ident)() == first


@pytest.mark.asyncio
async def test_the_context_can_be_subclassed() -> None:
    class Logged(ThreadSensitiveContext):
        def __init__(self) -> None:
            super().__init__()
            self.log: list[str] = []

        async def __aenter__(self) -> "Logged":
            self.log.append("enter")
            await super().__aenter__()
            return self

        async def __aexit__(self, *args: Any) -> None:
            await super().__aexit__(*args)
            self.log.append("exit")

    async with Logged() as context:
        assert SyncToAsync.thread_sensitive_context.get() is context
        await sync_to_async(ident)()
    assert context.log == ["enter", "exit"]


@pytest.mark.asyncio
async def test_a_context_runs_its_calls_on_one_thread_of_its_own() -> None:
    outside = await sync_to_async(ident)()
    async with ThreadSensitiveContext():
        inside = {await sync_to_async(ident)() for _ in range(3)}
    assert len(inside) == 1
    assert outside not in inside


@pytest.mark.asyncio
async def test_a_context_with_an_executor_uses_it_inside_another_context(pool: ThreadPoolExecutor) -> None:
    async with ThreadSensitiveContext():
        outer = await sync_to_async(ident)()
        async with ThreadSensitiveContext(executor=pool):
            assert (await sync_to_async(threading.current_thread)()).name.startswith("foreign")
        assert await sync_to_async(ident)() == outer
    assert pool.submit(ident).result(40)  # the caller owns it: it was not shut down


@pytest.mark.asyncio
async def test_a_context_with_an_executor_is_entered_once(pool: ThreadPoolExecutor) -> None:
    context = ThreadSensitiveContext(executor=pool)
    async with context:
        with pytest.raises(RuntimeError, match="already entered"):
            await context.__aenter__()
    with pytest.raises(RuntimeError, match="cannot be entered again"):
        await context.__aenter__()


@pytest.mark.asyncio
async def test_a_task_that_outlives_a_context_with_an_executor_gets_an_error(
    pool: ThreadPoolExecutor,
) -> None:
    left = asyncio.Event()

    async def late() -> int:
        await left.wait()
        return await sync_to_async(ident)()

    async with ThreadSensitiveContext(executor=pool):
        task = asyncio.create_task(late())
    left.set()
    with pytest.raises(RuntimeError, match="ThreadSensitiveContext has exited"):
        await task


@pytest.mark.asyncio
async def test_a_context_with_an_executor_below_async_to_sync(pool: ThreadPoolExecutor) -> None:
    """Inside its block it wins over the sync caller above."""

    async def inner() -> tuple[str, int]:
        async with ThreadSensitiveContext(executor=pool):
            name = (await sync_to_async(threading.current_thread)()).name
        return name, await sync_to_async(ident)()

    def outer() -> tuple[int, tuple[str, int]]:
        return ident(), async_to_sync(inner)()

    thread, (name, after) = await sync_to_async(outer)()
    assert name.startswith("foreign")
    assert after == thread


# AsyncToSync.executors and loop_thread_executors


def test_executors_current_can_be_read_set_and_deleted(in_thread: Callable[..., Any]) -> None:
    def use() -> None:
        assert getattr(AsyncToSync.executors, "current", None) is None
        marker: Any = object()
        AsyncToSync.executors.current = marker
        assert AsyncToSync.executors.current is marker
        del AsyncToSync.executors.current
        assert not hasattr(AsyncToSync.executors, "current")

    in_thread(use)


def test_executors_current_is_an_executor_of_the_sync_caller_inside_the_call(
    in_thread: Callable[..., Any],
) -> None:
    async def inner() -> tuple[Any, int]:
        executor = AsyncToSync.executors.current
        assert isinstance(executor, Executor)
        return executor, await asyncio.wrap_future(executor.submit(ident))

    def outer() -> tuple[Any, int, int]:
        executor, thread = async_to_sync(inner)()
        return executor, thread, ident()

    executor, thread, caller = in_thread(outer)
    assert isinstance(executor, CurrentThreadExecutor)
    assert thread == caller


def test_executors_current_set_to_none_hides_the_sync_caller(in_thread: Callable[..., Any]) -> None:
    """django-bolt takes sensitive calls off the calling thread in this way."""
    pool = Minimal()

    async def inner() -> int:
        AsyncToSync.executors.current = None
        context = ThreadSensitiveContext()
        token = SyncToAsync.thread_sensitive_context.set(context)
        SyncToAsync.context_to_thread_executor[context] = pool  # type: ignore[assignment]
        try:
            return await sync_to_async(ident)()
        finally:
            SyncToAsync.thread_sensitive_context.reset(token)

    assert [in_thread(async_to_sync(inner))] == pool.threads


@pytest.mark.asyncio
async def test_a_foreign_executor_in_executors_current_is_used(pool: ThreadPoolExecutor) -> None:
    """django-bolt sets it to route sensitive calls of one task."""

    async def task() -> str:
        AsyncToSync.executors.current = pool
        return (await sync_to_async(threading.current_thread)()).name

    assert (await asyncio.create_task(task())).startswith("foreign")


def test_the_loop_of_a_sync_caller_is_in_loop_thread_executors_during_the_call(
    in_thread: Callable[..., Any],
) -> None:
    async def inner() -> tuple[asyncio.AbstractEventLoop, bool]:
        loop = asyncio.get_running_loop()
        return loop, loop in AsyncToSync.loop_thread_executors

    loop, inside = in_thread(async_to_sync(inner))
    assert inside
    assert loop not in AsyncToSync.loop_thread_executors


@pytest.mark.asyncio
async def test_an_executor_set_for_the_loop_is_used(pool: ThreadPoolExecutor) -> None:
    """Tests and django-bolt route sensitive calls of a loop by it."""
    loop = asyncio.get_running_loop()
    AsyncToSync.loop_thread_executors[loop] = pool  # type: ignore[assignment]
    try:
        assert (await sync_to_async(threading.current_thread)()).name.startswith("foreign")
    finally:
        del AsyncToSync.loop_thread_executors[loop]


# SyncToAsync.threadlocal and deadlock_context


@pytest.mark.asyncio
async def test_the_worker_thread_shows_its_loop_and_process() -> None:
    def look() -> tuple[Any, Any]:
        return SyncToAsync.threadlocal.main_event_loop, SyncToAsync.threadlocal.main_event_loop_pid

    for thread_sensitive in (True, False):
        loop, pid = await sync_to_async(look, thread_sensitive=thread_sensitive)()
        assert loop is asyncio.get_running_loop()
        assert pid == os.getpid()


@pytest.mark.asyncio
async def test_a_loop_set_by_hand_is_where_async_to_sync_runs(in_thread: Callable[..., Any]) -> None:
    """django-bolt lends its loop to threads of its own."""
    loop = asyncio.get_running_loop()

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def caller() -> asyncio.AbstractEventLoop:
        SyncToAsync.threadlocal.main_event_loop = loop
        SyncToAsync.threadlocal.main_event_loop_pid = os.getpid()
        return async_to_sync(where)()

    assert await asyncio.to_thread(in_thread, caller) is loop


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["main_event_loop", "main_event_loop_pid"])
async def test_none_in_the_threadlocal_means_no_loop(name: str) -> None:
    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def caller() -> asyncio.AbstractEventLoop:
        setattr(SyncToAsync.threadlocal, name, None)
        return async_to_sync(where)()

    assert await sync_to_async(caller, thread_sensitive=False)() is not asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_a_foreign_process_id_in_the_threadlocal_means_no_loop() -> None:
    """After a fork the inherited loop is none (asgiref #194)."""

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def caller() -> asyncio.AbstractEventLoop:
        SyncToAsync.threadlocal.main_event_loop_pid = os.getpid() + 1
        return async_to_sync(where)()

    assert await sync_to_async(caller, thread_sensitive=False)() is not asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_a_true_deadlock_context_means_that_the_single_thread_waits_for_this_code() -> None:
    """django-bolt and tests set it to False to allow the call."""

    async def refused() -> None:
        SyncToAsync.deadlock_context.set(True)
        with pytest.raises(RuntimeError, match="Single thread executor already being used, would deadlock"):
            await sync_to_async(ident)()
        SyncToAsync.deadlock_context.set(False)
        assert await sync_to_async(ident)()

    await asyncio.create_task(refused())
