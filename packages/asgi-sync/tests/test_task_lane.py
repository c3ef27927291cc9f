"""The task that sync code drives: whatever is asked of it ends, in order, however the task does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asgi_sync._async_iterators import AsyncBody
from asgi_sync._hosts import ParentLoop
from asgi_sync._read_ahead_in_task import ReadAheadInTask
from asgi_sync._task_lane import TaskLane


async def lane_of_this_loop() -> TaskLane:
    async def interrupt(cancelled: asyncio.CancelledError) -> None:
        raise cancelled

    lane = TaskLane(ParentLoop(asyncio.get_running_loop()), lambda: False, interrupt)
    lane.begin()
    return lane


def test_jobs_that_come_together_are_done_one_after_the_other(in_thread: Callable[..., Any]) -> None:
    """As when a second Ctrl-C lets nobody wait for the first: its last step comes while that has not begun."""
    done: list[int] = []

    async def do(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async def main() -> None:
        lane = await lane_of_this_loop()
        jobs = [lane.post(do, None, number) for number in range(3)]
        for job in reversed(jobs):
            await lane.until(job)
        lane.cancel()

    in_thread(main(), timeout=20)
    assert done == [0, 1, 2]


def test_jobs_that_never_begin_end_with_the_task(in_thread: Callable[..., Any]) -> None:
    async def main() -> None:
        lane = await lane_of_this_loop()
        jobs = [lane.post(asyncio.sleep, None, 3600) for _ in range(3)]
        lane.cancel()
        for job in jobs:
            await lane.until(job)
            with pytest.raises(asyncio.CancelledError):
                job.outcome()

    in_thread(main(), timeout=20)


def test_a_batch_that_ends_before_it_begins_is_heard_of(in_thread: Callable[..., Any]) -> None:
    """As when the task was cancelled after the last item that is there, and now more are wanted."""

    async def generate() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        lane = await lane_of_this_loop()
        lane.post(asyncio.sleep, None, 3600)
        lane.cancel()
        assert lane._task is not None
        await asyncio.wait([lane._task])
        ahead = ReadAheadInTask(lane, AsyncBody(generate()), 2)
        await ahead._until_item()
        assert isinstance(ahead._error, asyncio.CancelledError)

    in_thread(main(), timeout=20)
