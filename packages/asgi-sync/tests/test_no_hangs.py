"""Nothing hangs: threads that wait serve each other, and what cannot go on says so."""

import asyncio
import contextvars
import gc
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    SyncToAsync,
    ThreadSensitiveContext,
    _waiting,
    async_to_sync,
    lowlevel,
    sync_to_async,
)

ident = threading.get_ident
InThread = Callable[..., Any]
#: More than fit on one stack: the recursion limit is 1000, and each takes several frames.
NESTED = 2000 if os.environ.get("STRESS") else 200


async def aident() -> int:
    return ident()


async def until(event: threading.Event) -> None:
    """Wait for a threading event without blocking the loop."""
    while not event.is_set():
        await asyncio.sleep(0.001)


# A thread that idles inside async_to_sync serves sensitive work from any task.


def idle_until(event: asyncio.Event, entered: asyncio.Event) -> Callable[[], int]:
    """A sync function that idles inside async_to_sync until the event is set; returns its thread."""

    async def wait() -> None:
        entered.set()
        await event.wait()

    def frame() -> int:
        async_to_sync(wait)()
        return ident()

    return frame


async def two_tasks_that_need_each_other() -> tuple[int, int]:
    """One task idles in sync code on the sensitive thread; another one's sensitive call sets it free."""
    entered, event = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def set_free() -> int:
        loop.call_soon_threadsafe(event.set)
        return ident()

    async def other() -> int:
        await entered.wait()
        return await sync_to_async(set_free)()

    holder, helper = await asyncio.gather(sync_to_async(idle_until(event, entered))(), other())
    return holder, helper


def test_an_idle_frame_serves_other_tasks_with_an_async_root(in_thread: InThread) -> None:
    """asgiref 3.13.0 hangs here (#249, #282): the work waits behind the thread that waits for it."""
    holder, helper = in_thread(two_tasks_that_need_each_other())
    assert holder == helper


def test_an_idle_frame_serves_other_tasks_with_a_sync_root(in_thread: InThread) -> None:
    """asgiref 3.13.0 hangs here (#218, #493): the inner frame does not look at the outer one's queue."""

    def root() -> tuple[int, tuple[int, int]]:
        return ident(), async_to_sync(two_tasks_that_need_each_other)()

    here, threads = in_thread(root)
    assert threads == (here, here)


def test_an_idle_frame_serves_other_tasks_in_a_context(in_thread: InThread) -> None:
    """asgiref 3.13.0 hangs here."""

    async def main() -> tuple[int, int]:
        async with ThreadSensitiveContext():
            return await two_tasks_that_need_each_other()

    holder, helper = in_thread(main())
    assert holder == helper


@pytest.mark.parametrize("depth", [2, 3, 6])
@pytest.mark.parametrize("root", ["async", "sync"])
def test_an_idle_frame_serves_others_however_deep_it_is(in_thread: InThread, root: str, depth: int) -> None:
    """asgiref 3.13.0 hangs here."""

    async def main() -> tuple[int, int]:
        entered, event = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def descend(level: int) -> int:
            if level == 0:
                return await sync_to_async(idle_until(event, entered))()
            return await sync_to_async(lambda: async_to_sync(descend)(level - 1))()

        def set_free() -> int:
            loop.call_soon_threadsafe(event.set)
            return ident()

        async def other() -> int:
            await entered.wait()
            return await sync_to_async(set_free)()

        holder, helper = await asyncio.gather(descend(depth), other())
        return holder, helper

    holder, helper = in_thread(main() if root == "async" else async_to_sync(main))
    assert holder == helper


def test_frames_that_idle_on_one_thread_end_in_any_order_they_can(in_thread: InThread) -> None:
    """The lower frame's result comes first; it returns as soon as the frame above it is gone, not never.

    asgiref 3.13.0 hangs here: the second frame never starts.
    """

    async def main() -> list[str]:
        log: list[str] = []
        lower, upper = asyncio.Event(), asyncio.Event()
        lower_entered, upper_entered = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            await sync_to_async(idle_until(lower, lower_entered))()
            log.append("lower")

        async def two() -> None:
            await lower_entered.wait()
            await sync_to_async(idle_until(upper, upper_entered))()
            log.append("upper")

        async def three() -> None:
            await upper_entered.wait()
            lower.set()
            await asyncio.sleep(0.01)  # not for order: gives the lower frame every chance to be wrong
            upper.set()

        await asyncio.gather(one(), two(), three())
        return log

    assert in_thread(main()) == ["upper", "lower"]


def test_a_flood_of_work_does_not_keep_a_frame_from_returning(in_thread: InThread) -> None:
    """A frame whose own result is there returns, though others go on asking for its thread."""

    async def main() -> int:
        returned = threading.Event()
        served = 0
        entered, event = asyncio.Event(), asyncio.Event()

        def count() -> None:
            nonlocal served
            served += 1

        async def hog() -> None:
            await entered.wait()
            while not returned.is_set():
                await sync_to_async(count)()

        async def waiter() -> None:
            await sync_to_async(idle_until(event, entered))()
            returned.set()

        async def opener() -> None:
            await entered.wait()
            for _ in range(5):
                await sync_to_async(count)()
            event.set()

        await asyncio.gather(waiter(), opener(), *(hog() for _ in range(8)))
        return served

    assert in_thread(main()) >= 5


@pytest.mark.parametrize("thread_sensitive", [True, False])
@pytest.mark.parametrize("root", ["async", "sync", "context"])
def test_many_nested_calls_at_once_do_not_exhaust_the_stack(
    in_thread: InThread, root: str, thread_sensitive: bool
) -> None:
    """A frame that idles may serve another that idles, but not without end: the stack is finite.

    asgiref 3.13.0 passes: it runs them one after the other.
    """

    async def deeper(x: int) -> int:
        await asyncio.sleep(0.001)
        return await sync_to_async(lambda: x)()

    async def burst() -> list[int]:
        call = sync_to_async(async_to_sync(deeper), thread_sensitive=thread_sensitive)
        return list(await asyncio.gather(*(call(x) for x in range(NESTED))))

    async def main() -> list[int]:
        if root == "context":
            async with ThreadSensitiveContext():
                return await burst()
        return await burst()

    assert in_thread(async_to_sync(main) if root == "sync" else main()) == list(range(NESTED))


# The loop above stopped or closed.


@pytest.fixture
def stopped_loop() -> Any:
    """A loop that ran and stopped, as pytest-asyncio leaves it between tests; closed at the end."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    yield loop
    loop.close()


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than twice a second whether the loop still runs: the test waits for three looks."""
    monkeypatch.setattr("asgi_sync._waiting.LOOK_AT_LOOP", 0.02)


def result_or_clear_error(in_thread: InThread, function: Callable[[], Any], expected: Any) -> None:
    try:
        assert in_thread(function) == expected
    except RuntimeError as exc:
        assert "loop" in str(exc)  # noqa: PT017


def test_a_loop_that_stopped_before_the_call_is_not_waited_for(
    in_thread: InThread, stopped_loop: asyncio.AbstractEventLoop
) -> None:
    """asgiref 3.13.0 hangs here (#525, #545, #558)."""

    async def work() -> int:
        return 5

    def main() -> Any:
        stopped_loop.run_until_complete(sync_to_async(ident)())
        # The sensitive thread remembers the loop of its last call.
        return SyncToAsync.single_thread_executor.submit(async_to_sync(work)).result()

    result_or_clear_error(in_thread, main, 5)


def test_a_loop_that_closed_before_the_call_is_not_waited_for(in_thread: InThread) -> None:
    async def work() -> int:
        return 5

    def main() -> Any:
        asyncio.run(sync_to_async(ident)())
        return SyncToAsync.single_thread_executor.submit(async_to_sync(work)).result()

    result_or_clear_error(in_thread, main, 5)


@pytest.mark.parametrize("closed", [False, True])
def test_sync_code_that_outlives_its_loop_can_still_bridge(in_thread: InThread, closed: bool) -> None:
    """An abandoned call goes on after its loop stopped, and calls async_to_sync. asgiref 3.13.0 hangs."""
    outcome: Future[Any] = Future()
    go_on, entered = threading.Event(), threading.Event()

    async def work() -> int:
        return 5

    def outlives() -> None:
        entered.set()
        go_on.wait(40)
        try:
            outcome.set_result(async_to_sync(work)())
        except BaseException as exc:
            outcome.set_exception(exc)

    async def start() -> None:
        task = asyncio.create_task(sync_to_async(outlives, thread_sensitive=False)())
        await until(entered)
        task.cancel()
        await asyncio.wait([task])

    def main() -> Any:
        loop = asyncio.new_event_loop()
        with ThreadPoolExecutor(1) as pool:
            loop.set_default_executor(pool)
            loop.run_until_complete(start())
            if closed:
                loop.close()
            go_on.set()
            try:
                return outcome.result(40)
            finally:
                loop.close()

    result_or_clear_error(in_thread, main, 5)


def test_a_loop_that_stops_during_the_call_is_not_waited_for(in_thread: InThread, quick_looks: None) -> None:
    """A clear error is all that can be given: the coroutine has begun. asgiref 3.13.0 hangs here."""
    outcome: Future[Any] = Future()
    entered = threading.Event()

    async def work() -> None:
        entered.set()
        await asyncio.sleep(3600)

    def call() -> None:
        try:
            outcome.set_result(async_to_sync(work)())
        except BaseException as exc:
            outcome.set_exception(exc)

    def main() -> Any:
        loop = asyncio.new_event_loop()
        task = loop.create_task(sync_to_async(call, thread_sensitive=False)())
        loop.run_until_complete(until(entered))
        try:
            return outcome.exception()
        finally:
            task.cancel()
            for left in asyncio.all_tasks(loop):
                left.cancel()
            loop.run_until_complete(asyncio.wait([task]))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    error = in_thread(main)
    assert isinstance(error, RuntimeError)
    assert "loop" in str(error)


def test_all_that_wait_for_closed_loops_go_on_when_one_sees_it(
    in_thread: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait one upon the other on the same thread, where looks of its own for each would add up."""
    monkeypatch.setattr(_waiting, "LOOK_AT_LOOP", 3600)
    outcomes: list[Future[None]] = [Future() for _ in range(3)]
    kept: list[object] = []

    def call(begun: asyncio.Event, outcome: Future[None]) -> None:
        async def wait_for_ever() -> None:
            future = asyncio.get_running_loop().create_future()
            kept.append(future)
            begun.set()
            await future

        try:
            async_to_sync(wait_for_ever)()
        except BaseException as error:
            outcome.set_exception(error)

    async def work(outcome: Future[None]) -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(sync_to_async(call)(begun, outcome))
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # on purpose
        kept.append(task)
        await begun.wait()

    def main() -> list[str]:
        for outcome in outcomes:
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda loop, context: None)  # tasks are left pending on purpose
            loop.run_until_complete(work(outcome))
            loop.close()
        # Their thread has something else to do, and then they look.
        SyncToAsync.single_thread_executor.submit(int)
        return [str(outcome.exception(40)) for outcome in outcomes]

    for error in in_thread(main, timeout=50):
        assert "loop stopped" in error


def test_a_loop_that_closes_during_the_call_is_not_waited_for(in_thread: InThread, quick_looks: None) -> None:
    """asgiref 3.13.0 hangs here."""
    outcome: Future[Any] = Future()
    entered = threading.Event()
    futures: list[asyncio.Future[None]] = []

    async def work() -> None:
        futures.append(asyncio.get_running_loop().create_future())
        entered.set()
        await futures[0]

    def call() -> None:
        try:
            outcome.set_result(async_to_sync(work)())
        except BaseException as exc:
            outcome.set_exception(exc)

    def main() -> Any:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)  # tasks are left pending on purpose
        task = loop.create_task(sync_to_async(call, thread_sensitive=False)())
        loop.run_until_complete(until(entered))
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return outcome.exception()

    error = in_thread(main)
    assert isinstance(error, BaseException)
    assert isinstance(error, asyncio.CancelledError) or "loop" in str(error)


def test_a_loop_that_closes_before_the_first_step_is_all_that_goes_wrong(
    in_thread: InThread, quick_looks: None, recwarn: pytest.WarningsRecorder
) -> None:
    """A coroutine that is made and never begins warns of that, unless somebody closes it."""
    errors: Queue[str] = Queue()

    def call() -> None:
        with pytest.raises(RuntimeError) as caught:
            async_to_sync(aident)()
        errors.put(str(caught.value))

    def main() -> Any:
        loop = asyncio.SelectorEventLoop()  # uvloop's goes on for one more round when it is stopped
        loop.set_exception_handler(lambda loop, context: None)  # tasks are left pending on purpose

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            task = asyncio.Task(coroutine, loop=loop, **options)
            if len(tasks) == 1:
                loop.stop()
            tasks.append(task)
            return task

        tasks: list[asyncio.Task[Any]] = []
        loop.set_task_factory(factory)
        loop.create_task(sync_to_async(call, thread_sensitive=False)())
        loop.run_forever()
        loop.close()
        return errors.get(timeout=40)

    assert "loop stopped" in in_thread(main)
    gc.collect()
    assert [str(each.message) for each in recwarn] == []


def test_a_loop_that_pauses_during_the_call_goes_on_with_it(in_thread: InThread) -> None:
    """run_until_complete step by step, as fixtures of test frameworks do, is not the end of the loop."""
    entered = threading.Event()

    async def work() -> int:
        entered.set()
        for _ in range(20):
            await asyncio.sleep(0.001)
        return 5

    def main() -> Any:
        loop = asyncio.new_event_loop()
        call = sync_to_async(async_to_sync(work), thread_sensitive=False)
        task = loop.create_task(call())
        loop.run_until_complete(until(entered))
        for _ in range(10):
            loop.run_until_complete(asyncio.sleep(0))
        try:
            return loop.run_until_complete(task)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    assert in_thread(main) == 5


# Tasks that outlive the frame they were created under.


@pytest.mark.parametrize("context", [True, False])
def test_a_task_that_outlives_its_view_runs_on_the_sensitive_thread(
    in_thread: InThread, context: bool
) -> None:
    """asgiref 3.13.0: "CurrentThreadExecutor already quit or is broken" (#491, #526)."""

    async def main() -> tuple[int, int]:
        returned = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def outlives() -> int:
            await returned.wait()
            return await sync_to_async(ident)()

        async def start() -> None:
            tasks.append(asyncio.create_task(outlives()))

        def view() -> int:
            async_to_sync(start)()
            return ident()

        async def request() -> tuple[int, int]:
            thread = await sync_to_async(view)()
            returned.set()
            return thread, await tasks[0]

        if context:
            async with ThreadSensitiveContext():
                return await request()
        return await request()

    view_thread, task_thread = in_thread(main())
    assert view_thread == task_thread


def test_a_task_that_outlives_its_view_below_a_sync_root_runs_on_the_root(in_thread: InThread) -> None:
    async def main() -> int:
        returned = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def outlives() -> int:
            await returned.wait()
            return await sync_to_async(ident)()

        async def start() -> None:
            tasks.append(asyncio.create_task(outlives()))

        await sync_to_async(lambda: async_to_sync(start)())()
        returned.set()
        return await tasks[0]

    def root() -> tuple[int, int]:
        return ident(), async_to_sync(main)()

    here, there = in_thread(root)
    assert here == there


def test_a_task_that_outlives_its_context_can_still_call(in_thread: InThread) -> None:
    """A background task of a request: its sensitive calls go on, one after the other on one thread."""

    async def main() -> set[int]:
        left = asyncio.Event()

        async def outlives() -> set[int]:
            await left.wait()
            return {await sync_to_async(ident)() for _ in range(3)}

        async with ThreadSensitiveContext():
            await sync_to_async(ident)()
            task = asyncio.create_task(outlives())
        left.set()
        return await task

    assert len(in_thread(main())) == 1


def test_a_task_created_by_sync_code_in_a_context_outlives_both(in_thread: InThread) -> None:
    """asgiref 3.13.0: "CurrentThreadExecutor already quit or is broken"."""

    async def main() -> int:
        left = asyncio.Event()
        tasks: list[asyncio.Task[int]] = []

        async def outlives() -> int:
            await left.wait()
            return await sync_to_async(ident)()

        async def start() -> None:
            tasks.append(asyncio.create_task(outlives()))

        async with ThreadSensitiveContext():
            await sync_to_async(async_to_sync(start))()
        left.set()
        return await tasks[0]

    assert in_thread(main()) != ident()


# False deadlocks.


def test_a_coroutine_sent_to_the_loop_by_sync_code_is_no_deadlock(in_thread: InThread) -> None:
    """asgiref 3.13.0 raises "would deadlock" here (#527), though the thread is free by then."""

    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()

        async def later() -> int:
            return await sync_to_async(ident)()

        def send() -> tuple[int, Any]:
            return ident(), asyncio.run_coroutine_threadsafe(later(), loop)

        thread, future = await sync_to_async(send)()
        return thread, await asyncio.wrap_future(future)

    first, second = in_thread(main())
    assert first == second


def test_a_task_created_in_the_callback_of_sync_code_is_no_deadlock(in_thread: InThread) -> None:
    """call_soon_threadsafe copies the context of the sync code. asgiref 3.13.0 raises "would deadlock"."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[int]] = []
        created = asyncio.Event()

        def create() -> None:
            tasks.append(loop.create_task(sync_to_async(ident)()))
            created.set()

        def work() -> int:
            loop.call_soon_threadsafe(create)
            return ident()

        thread = await sync_to_async(work)()
        await created.wait()
        return await tasks[0] == thread

    assert in_thread(main())


def test_a_failed_submit_leaves_no_flag_behind(in_thread: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """asgiref 3.13.0 raises "would deadlock" at the second call (#495)."""

    class Full:
        def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
            raise RuntimeError("the queue is full")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SyncToAsync, "single_thread_executor", Full())
            with pytest.raises(RuntimeError, match="the queue is full"):
                await sync_to_async(ident)()
        await sync_to_async(ident)()

    in_thread(main())


def test_a_failed_call_leaves_no_flag_behind(in_thread: InThread) -> None:
    async def main() -> None:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await sync_to_async(lambda: 1 / 0)()

    in_thread(main())


# StopIteration


class Stop(StopIteration):
    """A subclass of it."""


@pytest.mark.parametrize("thread_sensitive", [True, False])
@pytest.mark.parametrize("stop", [StopIteration, Stop])
def test_stop_iteration_from_sync_code_is_a_runtime_error(
    in_thread: InThread, stop: type[StopIteration], thread_sensitive: bool
) -> None:
    """A coroutine cannot raise it (PEP 479). asgiref 3.13.0 hangs here on 3.11."""
    error = stop("done")

    def fail() -> None:
        raise error

    async def main() -> None:
        await sync_to_async(fail, thread_sensitive=thread_sensitive)()

    with pytest.raises(RuntimeError) as caught:
        in_thread(main())
    causes = {caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)}
    assert error in causes


def test_next_of_an_empty_iterator_is_a_runtime_error_at_once(in_thread: InThread) -> None:
    async def main() -> None:
        await sync_to_async(next)(iter([]))

    with pytest.raises(RuntimeError) as caught:
        in_thread(main())
    assert isinstance(caught.value.__cause__, StopIteration)


def test_stop_async_iteration_passes(in_thread: InThread) -> None:
    """Whoever writes an ``__anext__`` around sync code raises it there. PEP 479 concerns generators alone."""

    def fail() -> None:
        raise StopAsyncIteration

    class Items:
        def __aiter__(self) -> "Items":
            return self

        async def __anext__(self) -> int:
            await sync_to_async(fail)()
            return 1

    async def main() -> list[int]:
        return [item async for item in Items()]

    assert in_thread(main()) == []


def test_generator_exit_passes(in_thread: InThread) -> None:
    def fail() -> None:
        raise GeneratorExit

    async def main() -> None:
        with pytest.raises(GeneratorExit):
            await sync_to_async(fail)()

    in_thread(main())


# Nesting deeper than a pool.


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_nesting_deeper_than_the_pool_does_not_starve(in_thread: InThread, workers: int, given: bool) -> None:
    """asgiref 3.13.0 hangs here: every thread of the pool waits for a call that is queued behind it."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(workers)
        if not given:
            loop.set_default_executor(pool)

        async def descend(level: int) -> int:
            if level == 0:
                return 0
            call = sync_to_async(
                lambda: 1 + async_to_sync(descend)(level - 1),
                thread_sensitive=False,
                executor=pool if given else None,
            )
            return await call()

        try:
            return await descend(5)
        except RuntimeError as exc:
            assert "deadlock" in str(exc) or "pool" in str(exc)  # noqa: PT017
            return 5
        finally:
            pool.shutdown(wait=False)

    assert in_thread(main()) == 5


def test_many_nested_calls_at_once_do_not_starve_the_pool(in_thread: InThread) -> None:
    """Ten calls, each with one below it, in a pool of two. asgiref 3.13.0 hangs here."""

    async def main() -> list[int]:
        pool = ThreadPoolExecutor(2)
        asyncio.get_running_loop().set_default_executor(pool)

        async def inner(x: int) -> int:
            await asyncio.sleep(0.005)
            return await sync_to_async(lambda: x, thread_sensitive=False)()

        def outer(x: int) -> int:
            return async_to_sync(inner)(x)

        try:
            calls = [sync_to_async(outer, thread_sensitive=False)(x) for x in range(10)]
            return list(await asyncio.gather(*calls))
        finally:
            pool.shutdown(wait=False)

    assert in_thread(main()) == list(range(10))


# Loops inside loops.


def test_a_forced_new_loop_inside_a_single_thread_context(in_thread: InThread) -> None:
    """asgiref 3.13.0 hangs here: the only thread of the context waits for itself."""

    def nested() -> int:
        return async_to_sync(aident, force_new_loop=True)()

    async def outer() -> tuple[int, int]:
        return ident(), await sync_to_async(nested)()

    def root() -> tuple[int, int]:
        with AsyncSingleThreadContext():
            return async_to_sync(outer)()

    outer_thread, inner_thread = in_thread(root)
    assert outer_thread != inner_thread


def test_asyncio_run_inside_sensitive_code_of_an_async_root(in_thread: InThread) -> None:
    """The sensitive call below runs inline. asgiref 3.13.0 raises "would deadlock"."""

    async def inner() -> int:
        return await sync_to_async(ident)()

    def work() -> tuple[int, int]:
        return ident(), asyncio.run(inner())

    async def main() -> tuple[int, int]:
        return await sync_to_async(work)()

    here, there = in_thread(main())
    assert here == there


def test_asyncio_run_inside_sensitive_code_of_a_context(in_thread: InThread) -> None:
    """asgiref 3.13.0 hangs here: the thread waits for itself."""

    async def inner() -> int:
        return await sync_to_async(ident)()

    def work() -> tuple[int, int]:
        return ident(), asyncio.run(inner())

    async def main() -> tuple[int, int]:
        async with ThreadSensitiveContext():
            return await sync_to_async(work)()

    here, there = in_thread(main())
    assert here == there


def test_asyncio_run_inside_sensitive_code_of_a_sync_root(in_thread: InThread) -> None:
    """asgiref 3.13.0: "You cannot submit onto CurrentThreadExecutor from its own thread"."""

    async def inner() -> int:
        return await sync_to_async(ident)()

    async def main() -> int:
        return await sync_to_async(lambda: asyncio.run(inner()))()

    def root() -> tuple[int, int]:
        return ident(), async_to_sync(main)()

    here, there = in_thread(root)
    assert here == there


def test_an_inline_call_keeps_context_exceptions_and_order(in_thread: InThread) -> None:
    """What runs inline cannot be told from what is sent over."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    def change() -> str:
        seen = variable.get()
        variable.set("changed")
        return seen

    def fail() -> None:
        raise KeyError("no")

    async def inner() -> tuple[str, str]:
        variable.set("inner")
        seen = await sync_to_async(change)()
        with pytest.raises(KeyError):
            await sync_to_async(fail)()
        return seen, variable.get()

    async def main() -> Any:
        return await sync_to_async(lambda: asyncio.run(inner()))()

    assert in_thread(main()) == ("inner", "changed")


def test_tasks_of_an_inner_loop_run_their_sensitive_calls_inline(in_thread: InThread) -> None:
    async def inner() -> list[int]:
        return list(await asyncio.gather(*(sync_to_async(ident)() for _ in range(5))))

    def work() -> tuple[int, list[int]]:
        return ident(), asyncio.run(inner())

    async def main() -> tuple[int, list[int]]:
        return await sync_to_async(work)()

    here, there = in_thread(main())
    assert set(there) == {here}


def test_async_to_sync_inside_an_inline_call(in_thread: InThread) -> None:
    """Below asyncio.run on the sensitive thread, sync code run inline may want async code once more.

    The loop of that thread is running below it, so it cannot serve the call: a loop of its own or a clear
    error, never a hang.
    """

    async def inner() -> int:
        return await sync_to_async(async_to_sync(aident))()

    async def main() -> Any:
        return await sync_to_async(lambda: asyncio.run(inner()))()

    try:
        in_thread(main())
    except RuntimeError as exc:
        assert "loop" in str(exc) or "deadlock" in str(exc)  # noqa: PT017


# A real deadlock.


def test_a_real_deadlock_is_told(in_thread: InThread, caplog: pytest.LogCaptureFixture) -> None:
    """The sensitive thread waits in plain code for a coroutine that waits for the sensitive thread.

    An error, or a warning in the log after a few seconds (here less), names what holds the thread and who waits.
    asgiref 3.13.0 says "would deadlock" and names neither.
    """
    give_up = threading.Event()

    def the_waiting_function() -> None: ...

    async def main() -> str:
        loop = asyncio.get_running_loop()

        async def needs_the_thread() -> None:
            await sync_to_async(the_waiting_function)()

        def holds_the_thread() -> str:
            future = asyncio.run_coroutine_threadsafe(needs_the_thread(), loop)
            waited = threading.Event()
            future.add_done_callback(lambda _: waited.set())
            while not (waited.is_set() or give_up.is_set()):
                if any("holds_the_thread" in record.getMessage() for record in caplog.records):
                    break
                waited.wait(0.05)
            return str(future.exception(0)) if future.done() else caplog.text

        return await sync_to_async(holds_the_thread)()

    lowlevel.set_stall_limit(0.1)
    with caplog.at_level(logging.WARNING):
        timer = threading.Timer(40, give_up.set)
        timer.daemon = True
        timer.start()
        try:
            told = in_thread(main(), timeout=60)
        finally:
            lowlevel.set_stall_limit(5.0)
            timer.cancel()
    assert "holds_the_thread" in told
    assert "the_waiting_function" in told


def test_the_deadlock_error_is_a_runtime_error_with_the_classic_text() -> None:
    """Airflow and others match the text; asgiref 3.13.0 raises a plain RuntimeError."""
    from asgi_sync import DeadlockError

    assert issubclass(DeadlockError, RuntimeError)

    async def refused() -> None:
        SyncToAsync.deadlock_context.set(True)
        await sync_to_async(ident)()

    with pytest.raises(DeadlockError, match=r"^Single thread executor already being used, would deadlock"):
        asyncio.run(refused())
