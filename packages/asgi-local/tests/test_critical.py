"""Local(thread_critical=True): never on another thread, and per task in async code."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from asgi_local import Local

if TYPE_CHECKING:
    from collections.abc import Callable

    InThread = Callable[[Callable[[], Any]], Any]


class Thing:
    pass


def test_sync_code_ignores_contexts() -> None:
    local = Local(thread_critical=True)
    local.x = 1
    contextvars.copy_context().run(setattr, local, "x", 2)
    assert local.x == 2
    assert contextvars.Context().run(getattr, local, "x") == 2


def test_a_thread_is_apart(in_thread: InThread) -> None:
    local = Local(thread_critical=True)
    local.x = "main"

    def work() -> dict[str, Any]:
        before = vars(local)
        local.x = "thread"
        return before

    assert in_thread(work) == {}
    assert local.x == "main"


def test_carried_contexts_bring_nothing(in_thread: InThread) -> None:
    local = Local(thread_critical=True)

    async def main() -> None:
        local.x = "task"
        copied = contextvars.copy_context()
        assert in_thread(lambda: copied.run(vars, local)) == {}
        assert in_thread(lambda: copied.run(asyncio.run, look())) == {}
        assert await asyncio.to_thread(vars, local) == {}

    async def look() -> dict[str, Any]:
        return vars(local)

    asyncio.run(main())


def test_sync_code_and_tasks_of_one_thread_are_apart() -> None:
    local = Local(thread_critical=True)
    local.x = "sync"

    async def main() -> None:
        assert vars(local) == {}
        local.x = "task"
        local.y = "task"
        assert vars(local) == {"x": "task", "y": "task"}

    asyncio.run(main())
    assert vars(local) == {"x": "sync"}


@pytest.mark.asyncio
async def test_tasks_are_apart() -> None:
    local = Local(thread_critical=True)
    local.x = "creator"

    async def task(number: int) -> bool:
        inherited = local.x == "creator"
        local.x = number
        await asyncio.sleep(0)
        mine: bool = local.x == number
        del local.x
        return inherited and mine and not hasattr(local, "x")

    assert all(await asyncio.gather(*map(task, range(50))))
    assert local.x == "creator"


def test_values_survive_a_trip_of_the_context_over_another_thread(in_thread: InThread) -> None:
    """A bridge carries a context to another loop and writes back all that was changed there."""
    local = Local(thread_critical=True)

    async def there() -> None:
        local.x = "there"

    async def here() -> None:
        local.x = "here"
        carried = contextvars.copy_context()
        in_thread(lambda: carried.run(asyncio.run, there()))
        for var, value in carried.items():
            var.set(value)
        assert local.x == "here"

    asyncio.run(here())


def test_what_a_thread_held_goes_with_the_thread() -> None:
    local = Local(thread_critical=True)
    alive: list[weakref.ref[Thing]] = []
    kept_contexts: list[contextvars.Context] = []

    async def main() -> None:
        local.x = Thing()
        alive.append(weakref.ref(local.x))
        kept_contexts.append(contextvars.copy_context())

    def work() -> None:
        local.x = Thing()
        alive.append(weakref.ref(local.x))
        asyncio.run(main())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


def test_what_all_threads_held_goes_with_the_local() -> None:
    local = Local(thread_critical=True)
    refs: list[weakref.ref[Thing]] = []
    is_set, may_end = threading.Event(), threading.Event()

    box = [local]

    def work() -> None:
        box[0].x = Thing()
        refs.append(weakref.ref(box[0].x))
        is_set.set()
        may_end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    assert is_set.wait(20)
    local.x = Thing()
    refs.append(weakref.ref(local.x))
    box.clear()
    del local
    try:
        gc.collect()
        assert [ref() for ref in refs] == [None, None]
    finally:
        may_end.set()
        thread.join(20)
