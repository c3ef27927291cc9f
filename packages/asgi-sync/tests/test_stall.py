"""Sensitive work that waits too long is told of: what holds the thread, who waits, since when, how many behind."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asgi_sync import DeadlockError, SyncToAsync, async_to_sync, instrumentation, lowlevel, sync_to_async
from asgi_sync import _stall as stall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    InThread = Callable[..., Any]

#: Seconds. As long as the watch needs to be sure, in these tests.
SOON = 0.02
PATIENCE = 20.0

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture(autouse=True)
def soon(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = stall.limit
    lowlevel.set_stall_limit(SOON)
    with caplog.at_level(logging.WARNING, "asgi_sync"):
        yield
    stall.limit = before


class Holder:
    """Holds the sensitive thread until it is told to leave."""

    def __init__(self) -> None:
        self._entered, self._leave = threading.Event(), threading.Event()

    def holds_the_thread(self) -> None:
        self._entered.set()
        assert self._leave.wait(PATIENCE)

    async def begin(self) -> asyncio.Task[None]:
        task = asyncio.create_task(sync_to_async(self.holds_the_thread)())
        await asyncio.to_thread(self._entered.wait, PATIENCE)
        return task

    def leave(self) -> None:
        self._leave.set()


def quick() -> None: ...


async def the_function_that_waits() -> None:
    await sync_to_async(quick)()


async def warned(caplog: pytest.LogCaptureFixture, count: int = 1) -> list[str]:
    """The warnings, as soon as there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(caplog.records) < count:
            await asyncio.sleep(SOON / 4)
    return [record.getMessage() for record in caplog.records]


async def pass_time(times: float) -> None:
    """Long enough for the watch to have looked again."""
    await asyncio.sleep(times * SOON)


@pytest.mark.asyncio
async def test_the_warning_tells_all(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    tasks = [await holder.begin()]
    tasks.append(asyncio.create_task(the_function_that_waits(), name="the-task-that-waits"))
    tasks += [asyncio.create_task(sync_to_async(quick)()) for _ in range(3)]
    (message,) = await warned(caplog)
    holder.leave()
    await asyncio.gather(*tasks)
    record = caplog.records[0]
    assert (record.name, record.levelno) == ("asgi_sync", logging.WARNING)
    first, _, rest = message.partition("\n")
    assert re.match(r"Thread 'asgi-sync-worker-\d+' has been busy with <sync call of ", first)
    assert "Holder.holds_the_thread>" in first
    assert re.search(
        rf"<sync call of {__name__}\.quick> has waited for it for \d+\.\d s, since \d\d:\d\d:\d\d, ", first
    )
    assert "name='the-task-that-waits'" in first
    assert "3 more wait." in first
    at_thread, _, at_task = rest.partition("The task that waits is at:\n")
    assert "in holds_the_thread\n" in at_thread
    assert "in the_function_that_waits\n" in at_task
    assert "await sync_to_async(quick)()" in at_task
    assert "_sync_to_async.py" not in at_task


@pytest.mark.asyncio
async def test_one_warning_for_one_stall(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    tasks = [await holder.begin(), asyncio.create_task(the_function_that_waits())]
    await warned(caplog)
    await pass_time(5)
    holder.leave()
    await asyncio.gather(*tasks)
    assert len(caplog.records) == 1


@pytest.mark.asyncio
async def test_another_stall_is_told_of_again(caplog: pytest.LogCaptureFixture) -> None:
    for count in (1, 2):
        holder = Holder()
        tasks = [await holder.begin(), asyncio.create_task(the_function_that_waits())]
        await warned(caplog, count)
        holder.leave()
        await asyncio.gather(*tasks)


@pytest.mark.asyncio
async def test_a_thread_that_is_only_overloaded_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """It moves on all the time, and those who wait wait too long all the same."""
    turns = threading.Semaphore(0)

    def takes_its_turn() -> None:
        assert turns.acquire(timeout=PATIENCE)

    tasks = [asyncio.create_task(sync_to_async(takes_its_turn)()) for _ in range(20)]
    try:
        async with asyncio.timeout(PATIENCE):
            while not caplog.records:
                tasks.append(asyncio.create_task(sync_to_async(takes_its_turn)()))
                turns.release()
                await asyncio.sleep(SOON / 8)
    finally:
        turns.release(len(tasks))
        await asyncio.gather(*tasks)
    assert "takes_its_turn> has waited for it for" in caplog.records[0].getMessage()


@pytest.mark.asyncio
async def test_the_off_switch(caplog: pytest.LogCaptureFixture) -> None:
    instrumentation.set_stall_limit(None)
    holder = Holder()
    tasks = [await holder.begin(), asyncio.create_task(the_function_that_waits())]
    await pass_time(5)
    assert looks() == []
    holder.leave()
    await asyncio.gather(*tasks)
    assert caplog.records == []


def looks() -> list[asyncio.TimerHandle]:
    """The stall watches' timers in the running loop, if it is asyncio's."""
    loop: Any = asyncio.get_running_loop()
    return [handle for handle in getattr(loop, "_scheduled", ()) if stall.StallWatch.owns(handle)]


@pytest.mark.asyncio
async def test_it_is_switched_off_for_those_who_wait_already(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    lowlevel.set_stall_limit(PATIENCE)
    tasks = [await holder.begin(), asyncio.create_task(the_function_that_waits())]
    await asyncio.sleep(0)
    instrumentation.set_stall_limit(None)
    for handle in looks():
        handle._run()  # type: ignore[attr-defined]  # instead of waiting until it is time
        handle.cancel()
    holder.leave()
    await asyncio.gather(*tasks)
    assert caplog.records == []
    assert looks() == []


@pytest.mark.asyncio
async def test_no_warning_of_those_who_do_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    task = await holder.begin()
    await pass_time(5)
    holder.leave()
    await task
    assert caplog.records == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_none(seconds: float) -> None:
    with pytest.raises(ValueError, match="the limit must be a number of seconds, more than 0, or None"):
        instrumentation.set_stall_limit(seconds)


def test_a_step_of_a_generator_has_its_name(caplog: pytest.LogCaptureFixture, in_thread: InThread) -> None:
    holder = Holder()

    def rows() -> Any:
        holder.holds_the_thread()
        yield 1

    async def main() -> None:
        first = asyncio.create_task(anext(sync_to_async(rows)()))
        await asyncio.to_thread(holder._entered.wait, PATIENCE)
        second = asyncio.create_task(the_function_that_waits())
        await warned(caplog)
        holder.leave()
        await asyncio.gather(first, second)

    in_thread(main())
    assert "rows> for too long" in caplog.records[0].getMessage()
    assert "_thread_lane" not in caplog.records[0].getMessage().partition("\n")[0]


# What can never end.


@pytest.mark.skipif(not has_gil, reason="the stack of another thread cannot be looked into without the GIL")
@pytest.mark.parametrize("method", ["result", "exception"])
def test_a_thread_that_waits_for_the_task_that_waits_for_it(in_thread: InThread, method: str) -> None:
    """`run_coroutine_threadsafe(...).result()` in sensitive code, of a coroutine that needs the same thread."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()

        def holds_the_thread() -> Any:
            future = asyncio.run_coroutine_threadsafe(the_function_that_waits(), loop)
            return getattr(future, method)()

        return await sync_to_async(holds_the_thread)()

    try:
        error = in_thread(main())
    except DeadlockError as raised:
        error = raised
    assert isinstance(error, DeadlockError)
    message = str(error)
    assert message.startswith("Single thread executor already being used, would deadlock. Thread '")
    thread, _, task = message.partition("The task that waits is at:\n")
    assert "in holds_the_thread\n" in thread
    assert "in the_function_that_waits\n" in task


def test_a_thread_that_waits_with_a_timeout_is_warned_of(
    in_thread: InThread, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def holds_the_thread() -> Any:
            future = asyncio.run_coroutine_threadsafe(the_function_that_waits(), loop)
            while not told.is_set():
                try:
                    future.result(SOON)
                except TimeoutError:
                    pass

        waiting = asyncio.create_task(sync_to_async(holds_the_thread)())
        await warned(caplog)
        told.set()
        await waiting

    in_thread(main())
    assert "holds_the_thread> for too long" in caplog.records[0].getMessage()


def test_the_thread_works_on_after_a_deadlock(in_thread: InThread) -> None:
    if not has_gil:
        pytest.skip("the stack of another thread cannot be looked into without the GIL")

    async def main() -> Any:
        loop = asyncio.get_running_loop()

        def holds_the_thread() -> None:
            asyncio.run_coroutine_threadsafe(the_function_that_waits(), loop).result()

        with pytest.raises(DeadlockError):
            await sync_to_async(holds_the_thread)()
        await the_function_that_waits()

    in_thread(main())
    async_to_sync(the_function_that_waits)()


@pytest.mark.asyncio
async def test_a_call_that_is_refused_names_both_sides() -> None:
    """`deadlock_context` says that the process's thread waits for this code."""
    holder = Holder()
    task = await holder.begin()
    token = SyncToAsync.deadlock_context.set(True)
    try:
        with pytest.raises(DeadlockError, match=r"^Single thread executor already being used, would") as info:
            await the_function_that_waits()
    finally:
        SyncToAsync.deadlock_context.reset(token)
        holder.leave()
        await task
    thread, _, waits = str(info.value).partition("The task that would wait is at:\n")
    assert "Holder.holds_the_thread>. It is at:" in thread
    assert "in holds_the_thread\n" in thread
    assert "in the_function_that_waits\n" in waits
    assert "_sync_to_async.py" not in waits
