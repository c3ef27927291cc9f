"""What awaits a call goes on as soon as the loop hears of its end, and nobody else waits longer for that."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asgi_sync import sync_to_async
from asgi_sync.lowlevel import inbox_of, resume

InThread = Callable[..., Any]


class Waiting:
    """A task that awaits a future."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.went_on = False
        self.task = self.loop.create_task(self.wait())

    async def wait(self) -> None:
        await self.future
        self.went_on = True

    def resume(self) -> bool:
        """Whether the task has gone on before this returns."""
        resume(self.loop, self.future)
        return self.went_on


async def call_back(function: Callable[[], Any]) -> Any:
    """Have the loop call it, as it calls what other threads send, once the tasks there are wait."""
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    loop.call_soon(lambda: outcome.set_result(function()))
    return await outcome


@pytest.mark.asyncio
async def test_the_task_goes_on_at_once() -> None:
    waiting = Waiting()
    assert await call_back(waiting.resume)
    await waiting.task


@pytest.mark.asyncio
async def test_in_its_own_context_and_as_the_current_task() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    seen: list[Any] = []

    async def wait(future: asyncio.Future[None]) -> None:
        variable.set("inside")
        await future
        seen.extend([variable.get(), asyncio.current_task()])

    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    task = loop.create_task(wait(future))
    await call_back(lambda: resume(loop, future))
    assert seen == ["inside", task]
    assert variable.get() == "outside"
    await task


@pytest.mark.asyncio
async def test_in_debug_mode_each_step_of_a_task_is_a_callback_of_its_own() -> None:
    """asyncio says of a callback that it was slow, and of which task."""
    waiting = Waiting()
    waiting.loop.set_debug(True)
    try:
        assert not await call_back(waiting.resume)
        await waiting.task
    finally:
        waiting.loop.set_debug(False)


@pytest.mark.asyncio
async def test_whoever_else_is_to_hear_of_it_comes_in_turn() -> None:
    heard: list[bool] = []
    waiting = Waiting()
    await asyncio.sleep(0)  # it waits now
    waiting.future.add_done_callback(lambda _: heard.append(waiting.went_on))
    assert not await call_back(waiting.resume)
    await waiting.task
    assert heard == [True]


@pytest.mark.asyncio
async def test_a_callback_that_is_no_task_is_called_by_the_loop() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    heard: list[bool] = []
    future.add_done_callback(lambda _: heard.append(True))

    def go() -> bool:
        resume(loop, future)
        return bool(heard)

    assert not await call_back(go)
    await asyncio.sleep(0)
    assert heard


@pytest.mark.asyncio
async def test_nobody_waits() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    await call_back(lambda: resume(loop, future))
    assert future.done()


@pytest.mark.asyncio
async def test_a_future_of_another_kind() -> None:
    class Own(asyncio.Future[None]):
        """A loop may make its own."""

    loop = asyncio.get_running_loop()
    future = Own(loop=loop)
    waiter = asyncio.ensure_future(asyncio.wait_for(future, 60))
    await call_back(lambda: resume(loop, future))
    await waiter


@pytest.mark.asyncio
async def test_what_comes_without_end_leaves_time_for_others() -> None:
    """Each call ends while the loop still hears of the one before."""
    inbox = inbox_of(asyncio.get_running_loop())
    loop = asyncio.get_running_loop()
    rounds = 0
    goes_on = True

    def again() -> None:
        nonlocal rounds
        rounds += 1
        if goes_on and rounds < 1000:  # enough to tell
            inbox.post(loop, again)

    inbox.post(loop, again)
    while rounds < 20:  # through both ways of waking the loop
        before = rounds
        await asyncio.sleep(0)
        assert rounds <= before + 2
    goes_on = False


def test_a_task_that_ends_the_program_takes_nobody_elses_call_with_it(in_thread: InThread) -> None:
    """The loop hears of two calls at once; the first one's task exits, and the loop runs again after that."""

    async def call(function: Callable[[], Any], then: Callable[[], Any]) -> None:
        await sync_to_async(function)()
        then()

    def exits() -> None:
        raise SystemExit

    def body() -> bool:
        loop = asyncio.new_event_loop()
        may_begin, have_ended = threading.Event(), threading.Event()
        went_on: list[bool] = []

        def hears_of_both_at_once() -> None:
            may_begin.set()
            have_ended.wait(60)

        try:
            first = loop.create_task(call(lambda: may_begin.wait(60), exits))
            second = loop.create_task(call(bool, lambda: went_on.append(True)))
            third = loop.create_task(call(have_ended.set, bool))
            loop.call_later(0, lambda: loop.call_soon(hears_of_both_at_once))
            with pytest.raises(SystemExit):
                loop.run_until_complete(asyncio.gather(first, second, third))
            loop.run_until_complete(asyncio.gather(second, third))
            assert isinstance(first.exception(), SystemExit)
        finally:
            loop.close()
        return bool(went_on)

    assert in_thread(body)
