"""Contract: what a call does with exceptions, context, threads and message texts that others rely on."""

import asyncio
import contextvars
import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any

import pytest

from asgi_local import Local
from asgi_sync import (
    AsyncSingleThreadContext,
    CurrentThreadExecutor,
    ThreadSensitiveContext,
    async_to_sync,
    sync_to_async,
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
local = Local()
ident = threading.get_ident


async def aident() -> int:
    return ident()


# Results and exceptions


@pytest.mark.asyncio
@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_arguments_go_over_and_the_result_comes_back(thread_sensitive: bool) -> None:
    def work(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    result = await sync_to_async(work, thread_sensitive=thread_sensitive)(1, 2, key=3)
    assert result == ((1, 2), {"key": 3})


def test_arguments_go_over_to_async_code_and_the_result_comes_back(in_thread: Callable[..., Any]) -> None:
    async def work(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert in_thread(functools.partial(async_to_sync(work), 1, 2, key=3)) == ((1, 2), {"key": 3})


@pytest.mark.asyncio
async def test_keywords_of_the_call_never_collide_with_names_of_ours() -> None:
    def work(**kwargs: Any) -> Any:
        return kwargs

    async def awork(**kwargs: Any) -> Any:
        return kwargs

    taken = """
        func loop exc_info task_context child context executor thread_sensitive awaitable call_result
        fn args kwargs parent objtype result future force_new_loop abandon_on_cancel
    """
    names = dict.fromkeys(taken.split(), 1)
    assert await sync_to_async(work)(**names) == names
    assert await sync_to_async(async_to_sync(awork))(**names) == names


class Special(BaseException):
    """An exception that is no Exception."""


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [ValueError("boom"), Special("boom"), KeyError(1)])
async def test_the_identical_exception_comes_back_from_sync_code(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await sync_to_async(fail)()
    assert caught.value is error


@pytest.mark.parametrize("error", [ValueError("boom"), Special("boom"), TimeoutError(), KeyError(1)])
def test_the_identical_exception_comes_back_from_async_code(
    in_thread: Callable[..., Any], error: BaseException
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        in_thread(async_to_sync(fail))
    assert caught.value is error


# sys.exc_info


@pytest.mark.asyncio
@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_sync_code_sees_the_exception_that_async_code_handles(thread_sensitive: bool) -> None:
    """Django's error handling renders the current exception on the other side."""
    error = ValueError("handled")
    try:
        raise error
    except ValueError:
        seen = await sync_to_async(sys.exc_info, thread_sensitive=thread_sensitive)()
    assert seen[1] is error
    assert await sync_to_async(sys.exc_info, thread_sensitive=thread_sensitive)() == (None, None, None)


@pytest.mark.parametrize("below_a_loop", [True, False])
def test_async_code_sees_the_exception_that_sync_code_handles(
    in_thread: Callable[..., Any], below_a_loop: bool
) -> None:
    error = ValueError("handled")

    async def look() -> BaseException | None:
        await asyncio.sleep(0)
        return sys.exc_info()[1]

    def caller() -> tuple[BaseException | None, BaseException | None]:
        try:
            raise error
        except ValueError:
            seen = async_to_sync(look)()
        return seen, async_to_sync(look)()

    if below_a_loop:
        assert asyncio.run(sync_to_async(caller)()) == (error, None)
    else:
        assert in_thread(caller) == (error, None)


def test_what_a_waiting_thread_handles_is_its_own_coroutine_s_alone(in_thread: Callable[..., Any]) -> None:
    """The thread does work of other tasks meanwhile, on top of the same stack. asgiref 3.13.0 passes it on to them."""
    error = ValueError("handled")

    async def look() -> BaseException | None:
        return sys.exception()

    def nested() -> tuple[BaseException | None, BaseException | None]:
        seen, own = async_to_sync(look)(), KeyError("its own")
        try:
            raise own
        except KeyError:
            seen_while_handling = async_to_sync(look)()
        assert seen_while_handling is own
        return seen, async_to_sync(look)()

    async def main() -> list[Any]:
        other = asyncio.create_task(sync_to_async(nested)())
        return [await sync_to_async(nested)(), await other]

    def root() -> list[Any]:
        try:
            raise error
        except ValueError:
            return async_to_sync(main)()

    assert in_thread(root) == [(error, error), (None, None)]


@pytest.mark.asyncio
async def test_a_new_exception_has_the_handled_one_as_its_context() -> None:
    def fail() -> None:
        raise KeyError("new")

    error = ValueError("handled")
    try:
        raise error
    except ValueError:
        with pytest.raises(KeyError) as caught:
            await sync_to_async(fail)()
        context = caught.value.__context__
    assert context is error


@pytest.mark.asyncio
async def test_a_bare_raise_in_sync_code_raises_the_exception_being_handled() -> None:
    def reraise() -> None:
        raise  # noqa: PLE0704, RUF100  # the point of the test: sys.exc_info is visible here

    error = ValueError("handled")
    with pytest.raises(ValueError, match="handled") as caught:
        try:
            raise error
        except ValueError:
            await sync_to_async(reraise)()
    assert caught.value is error


# Context variables and Locals


@pytest.mark.asyncio
@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_context_variables_go_to_sync_code_and_come_back(thread_sensitive: bool) -> None:
    def work() -> str:
        seen = variable.get()
        variable.set("sync")
        return seen

    variable.set("async")
    assert await sync_to_async(work, thread_sensitive=thread_sensitive)() == "async"
    assert variable.get() == "sync"


@pytest.mark.parametrize("below_a_loop", [True, False])
def test_context_variables_go_to_async_code_and_come_back(
    in_thread: Callable[..., Any], below_a_loop: bool
) -> None:
    async def work() -> str:
        seen = variable.get()
        variable.set("async")
        await asyncio.sleep(0)
        return seen

    def caller() -> tuple[str, str]:
        variable.set("sync")
        return async_to_sync(work)(), variable.get()

    if below_a_loop:
        assert asyncio.run(sync_to_async(caller)()) == ("sync", "async")
    else:
        assert in_thread(caller) == ("sync", "async")


@pytest.mark.asyncio
async def test_context_variables_come_back_with_an_exception() -> None:
    def fail() -> None:
        variable.set("set before it failed")
        raise ValueError

    variable.set("before")
    with pytest.raises(ValueError):  # noqa: PT011
        await sync_to_async(fail)()
    assert variable.get() == "set before it failed"


@pytest.mark.asyncio
async def test_a_local_goes_over_and_comes_back() -> None:
    """Django's language and time zone are Locals."""

    async def inner() -> str:
        seen: str = local.value
        local.value = "inner"
        return seen

    def work() -> tuple[str, str]:
        seen = local.value
        local.value = "sync"
        return seen, async_to_sync(inner)()

    local.value = "async"
    assert await sync_to_async(work)() == ("async", "sync")
    assert local.value == "inner"


@pytest.mark.asyncio
async def test_a_thread_critical_local_stays_on_its_side() -> None:
    critical = Local(thread_critical=True)
    critical.value = "async"

    def work() -> bool:
        seen = hasattr(critical, "value")
        critical.value = "sync"
        return seen

    assert not await sync_to_async(work)()
    assert critical.value == "async"
    assert await sync_to_async(lambda: critical.value)() == "sync"
    await sync_to_async(lambda: delattr(critical, "value"))()


@pytest.mark.asyncio
async def test_a_given_context_is_used_and_nothing_is_copied_back() -> None:
    variable.set("outside")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")

    def work() -> str:
        seen = variable.get()
        variable.set("changed")
        return seen

    assert await sync_to_async(work, context=context)() == "inside"
    assert variable.get() == "outside"
    assert context[variable] == "changed"


# Threads


@pytest.mark.asyncio
async def test_sensitive_calls_of_an_async_root_share_one_thread() -> None:
    threads = {await sync_to_async(ident)() for _ in range(5)}
    assert len(threads) == 1
    assert ident() not in threads


def test_sensitive_calls_below_a_sync_root_run_on_its_thread(in_thread: Callable[..., Any]) -> None:
    async def inner() -> int:
        return await sync_to_async(ident)()

    def root() -> tuple[int, int]:
        return ident(), async_to_sync(inner)()

    here, there = in_thread(root)
    assert here == there


def test_sensitive_calls_in_a_task_below_a_sync_root_run_on_its_thread(in_thread: Callable[..., Any]) -> None:
    async def inner() -> int:
        return await asyncio.create_task(sync_to_async(ident)())

    def root() -> tuple[int, int]:
        return ident(), async_to_sync(inner)()

    here, there = in_thread(root)
    assert here == there


@pytest.mark.asyncio
async def test_a_nested_async_to_sync_runs_on_the_loop_that_waits_for_it() -> None:
    async def where() -> tuple[int, asyncio.AbstractEventLoop]:
        return ident(), asyncio.get_running_loop()

    for thread_sensitive in (True, False):
        wrapper = sync_to_async(async_to_sync(where), thread_sensitive=thread_sensitive)
        assert await wrapper() == (ident(), asyncio.get_running_loop())


@pytest.mark.asyncio
async def test_force_new_loop_leaves_the_waiting_loop_alone() -> None:
    async def where() -> tuple[int, asyncio.AbstractEventLoop]:
        return ident(), asyncio.get_running_loop()

    thread, loop = await sync_to_async(async_to_sync(where, force_new_loop=True))()
    assert thread != ident()
    assert loop is not asyncio.get_running_loop()


def test_a_sync_root_runs_its_loop_in_another_thread(in_thread: Callable[..., Any]) -> None:
    def root() -> tuple[int, int]:
        return ident(), async_to_sync(aident)()

    here, loop_thread = in_thread(root)
    assert here != loop_thread


def test_async_single_thread_context_keeps_async_code_on_one_thread(in_thread: Callable[..., Any]) -> None:
    def root() -> set[int]:
        with AsyncSingleThreadContext():
            threads = {async_to_sync(aident)() for _ in range(3)}
            with AsyncSingleThreadContext():
                threads.add(async_to_sync(aident)())
            threads.add(async_to_sync(aident)())
        return threads

    assert len(in_thread(root)) == 1


# Cancellation


@pytest.mark.asyncio
async def test_cancelling_the_awaiting_task_reaches_the_innermost_task() -> None:
    """asgiref 3.8.1: a disconnect cancels a view below sync middleware."""
    entered = asyncio.Event()
    cancelled = asyncio.Event()

    async def innermost() -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(sync_to_async(async_to_sync(innermost))())
    await asyncio.wait_for(entered.wait(), 40)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


@pytest.mark.asyncio
async def test_a_cancelled_caller_does_not_wait_for_the_sync_code() -> None:
    entered = threading.Event()
    release = threading.Event()

    def work() -> None:
        entered.set()
        release.wait(40)

    async with ThreadSensitiveContext():
        task = asyncio.create_task(sync_to_async(work)())
        while not entered.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        try:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 40)
        finally:
            release.set()


# Texts that others match


@pytest.mark.asyncio
async def test_async_to_sync_on_the_thread_of_a_running_loop_is_refused() -> None:
    """Airflow and others match the text."""
    with pytest.raises(RuntimeError) as caught:
        async_to_sync(aident)()
    assert str(caught.value).startswith(
        "You cannot use AsyncToSync in the same thread as an async event loop - "
    )


def test_a_current_thread_executor_runs_work_until_a_future_is_done(in_thread: Callable[..., Any]) -> None:
    def root() -> tuple[int, int]:
        executor = CurrentThreadExecutor(None)
        done: Future[int] = Future()

        def other() -> None:
            done.set_result(executor.submit(ident).result(40))

        threading.Thread(target=other, daemon=True).start()
        executor.run_until_future(done)
        return ident(), done.result(0)

    here, there = in_thread(root)
    assert here == there


def test_a_current_thread_executor_passes_arguments_and_exceptions(in_thread: Callable[..., Any]) -> None:
    def root() -> Any:
        executor = CurrentThreadExecutor(None)
        done: Future[Any] = Future()

        def other() -> None:
            futures = [executor.submit(int, "11", base=2), executor.submit(int, "no number")]
            done.set_result((futures[0].result(40), futures[1].exception(10)))

        threading.Thread(target=other, daemon=True).start()
        executor.run_until_future(done)
        return done.result(0)

    number, error = in_thread(root)
    assert number == 3
    assert isinstance(error, ValueError)


def test_a_current_thread_executor_that_has_quit_says_so(in_thread: Callable[..., Any]) -> None:
    def root() -> CurrentThreadExecutor:
        executor = CurrentThreadExecutor(None)
        done: Future[None] = Future()
        done.set_result(None)
        executor.run_until_future(done)
        return executor

    executor = in_thread(root)
    with pytest.raises(RuntimeError, match=r"^CurrentThreadExecutor already quit or is broken$"):
        executor.submit(ident)


def test_a_current_thread_executor_that_has_quit_hands_on_to_the_outer_one(
    in_thread: Callable[..., Any],
) -> None:
    def root() -> tuple[int, int]:
        outer = CurrentThreadExecutor(None)
        inner = CurrentThreadExecutor(outer)
        ready: Future[None] = Future()
        ready.set_result(None)
        inner.run_until_future(ready)
        done: Future[int] = Future()

        def other() -> None:
            done.set_result(inner.submit(ident).result(40))

        threading.Thread(target=other, daemon=True).start()
        outer.run_until_future(done)
        return ident(), done.result(0)

    here, there = in_thread(root)
    assert here == there


def test_a_current_thread_executor_refuses_its_own_thread() -> None:
    executor = CurrentThreadExecutor(None)
    with pytest.raises(RuntimeError, match="own thread"):
        executor.submit(ident)


def test_a_current_thread_executor_is_run_on_its_own_thread_only(in_thread: Callable[..., Any]) -> None:
    executor = CurrentThreadExecutor(None)
    with pytest.raises(RuntimeError, match="different thread"):
        in_thread(executor.run_until_future, Future())


# Tracebacks


@pytest.mark.asyncio
async def test_the_frames_of_the_bridge_are_hidden_from_debug_pages(
    library_frames: Callable[[BaseException], list[FrameType]],
) -> None:
    """Django's debug page leaves frames out that have ``__traceback_hide__`` among their locals."""

    def fail() -> None:
        raise ValueError

    async def afail() -> None:
        await sync_to_async(fail)()

    for caller in (sync_to_async(fail), sync_to_async(async_to_sync(afail))):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            await caller()
        frames = library_frames(caught.value)
        assert frames
        for frame in frames:
            if frame.f_code.co_name in {"__call__", "thread_handler", "main_wrap"}:
                assert frame.f_locals.get("__traceback_hide__")
