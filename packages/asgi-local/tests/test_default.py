"""Local(): per task in async code, per thread in sync code, carried with the context."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asgi_local import Local
from asgi_local.lowlevel import CONTEXT_IS_INHERITED

if TYPE_CHECKING:
    from collections.abc import Callable

    InThread = Callable[[Callable[[], Any]], Any]


@pytest.mark.asyncio
async def test_a_task_sees_what_its_creator_set_and_keeps_its_own() -> None:
    local = Local()
    local.x = "creator"
    local.y = "creator"

    async def task() -> None:
        assert local.x == "creator"
        local.x = "task"
        del local.y

    await asyncio.create_task(task())
    assert vars(local) == {"x": "creator", "y": "creator"}


@pytest.mark.asyncio
async def test_what_the_creator_sets_later_is_not_seen() -> None:
    local = Local()
    local.x = 1
    changed = asyncio.Event()

    async def task() -> int:
        await changed.wait()
        value: int = local.x
        return value

    running = asyncio.create_task(task())
    await asyncio.sleep(0)
    local.x = 2
    changed.set()
    assert await running == 1


@pytest.mark.asyncio
async def test_awaited_code_shares() -> None:
    local = Local()

    async def inner() -> None:
        local.x = 1

    await inner()
    assert local.x == 1


@pytest.mark.asyncio
async def test_many_tasks_are_apart() -> None:
    local = Local()

    async def task(number: int) -> bool:
        local.x = number
        for _ in range(5):
            await asyncio.sleep(0)
            local.x += 1
        return bool(local.x == number + 5)

    assert all(await asyncio.gather(*map(task, range(100))))
    assert not hasattr(local, "x")


@pytest.mark.asyncio
async def test_to_thread_sees_the_task_that_called() -> None:
    local = Local()
    local.x = "task"

    def work() -> Any:
        seen = local.x
        local.x = "worker"
        return seen, local.x

    for _ in range(3):
        assert await asyncio.to_thread(work) == ("task", "worker")
    assert local.x == "task"


def test_what_was_set_before_the_loop_ran_is_seen_by_its_tasks() -> None:
    """By those of the same thread. On others it is not: a thread that runs a copy of a context of sync code
    must see nothing, and ``to_thread`` does nothing else. Where new threads inherit their parent's context,
    one tells the two apart in another way, and ``to_thread`` sees it.
    """
    local = Local()
    local.x = "sync"

    async def main() -> Any:
        async def task() -> Any:
            return local.x

        assert local.x == "sync"
        assert await asyncio.create_task(task()) == "sync"
        elsewhere = await asyncio.to_thread(vars, local)
        local.y = "task"  # from here on the task holds values of its own, with what it saw
        return elsewhere, await asyncio.to_thread(vars, local)

    seen, seen_later = asyncio.run(main())
    assert seen == ({"x": "sync"} if CONTEXT_IS_INHERITED else {})
    assert seen_later == {"x": "sync", "y": "task"}
    assert vars(local) == {"x": "sync"}


@pytest.mark.asyncio
async def test_run_in_executor_with_a_context_sees_it() -> None:
    local = Local()
    local.x = 1
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, context.run, lambda: local.x) == 1
    assert await loop.run_in_executor(None, context.run, getattr, local, "x") == 1


@pytest.mark.asyncio
async def test_run_in_executor_without_a_context_sees_nothing() -> None:
    local = Local()
    local.x = 1
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, lambda: vars(local)) == {}


def test_a_thread_is_apart(in_thread: InThread) -> None:
    local = Local()
    local.x = "main"

    def work() -> None:
        assert vars(local) == {}
        local.x = "thread"
        assert local.x == "thread"

    in_thread(work)
    assert local.x == "main"


def test_a_loop_in_a_thread_is_apart(in_thread: InThread) -> None:
    local = Local()
    local.x = "main"

    async def main() -> dict[str, Any]:
        return await asyncio.create_task(asyncio.sleep(0, vars(local)))

    assert in_thread(lambda: asyncio.run(main())) == {}


def test_contexts_on_one_thread_are_apart() -> None:
    local = Local()
    local.x = 1
    copied = contextvars.copy_context()
    copied.run(setattr, local, "x", 2)
    assert local.x == 1
    assert copied.run(getattr, local, "x") == 2
    copied.run(delattr, local, "x")
    assert copied.run(hasattr, local, "x") is False
    assert contextvars.Context().run(vars, local) == {}
    assert local.x == 1


def test_a_new_value_is_a_new_object_in_the_context() -> None:
    """Whoever carries contexts finds what changed by identity."""
    local = Local()
    local.x = 1
    before = dict(contextvars.copy_context())
    local.x = 1
    changed = [var for var, value in contextvars.copy_context().items() if before.get(var) is not value]
    assert len(changed) == 1
    again = dict(contextvars.copy_context())
    assert local.x == 1
    assert getattr(local, "nothing", None) is None
    assert list(contextvars.copy_context().items()) == list(again.items())


def test_written_back_values_and_deletions_are_seen() -> None:
    local = Local()
    local.x = 1
    local.y = 1
    copied = contextvars.copy_context()

    def change() -> None:
        local.x = 2
        del local.y
        local.z = 3

    copied.run(change)
    for var, value in copied.items():
        var.set(value)
    assert vars(local) == {"x": 2, "z": 3}


def test_first_sets_at_the_same_time(repeat: int) -> None:
    for _ in range(repeat):
        local = Local()
        barrier = threading.Barrier(4, timeout=20)
        seen: list[Any] = []

        def work(number: int, local: Local = local, barrier: Any = barrier, seen: list[Any] = seen) -> None:
            barrier.wait()
            local.x = number
            barrier.wait()
            seen.append(local.x == number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert seen == [True] * 4
