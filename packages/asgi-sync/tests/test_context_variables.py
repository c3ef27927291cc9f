"""Context variables and Locals: what goes over, what comes back, and what is left alone."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asgi_local import Local
from asgi_sync import ThreadSensitiveContext, async_to_sync, sync_to_async

InThread = Callable[..., Any]

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default="default")
other: contextvars.ContextVar[Any] = contextvars.ContextVar("other", default="default")
local = Local()


class Touchy:
    """A value that does not like to be compared, hashed or asked whether it is true."""

    def __eq__(self, value: object) -> bool:
        raise AssertionError("compared")

    def __ne__(self, value: object) -> bool:
        raise AssertionError("compared")

    def __bool__(self) -> bool:
        raise AssertionError("asked whether it is true")

    __hash__ = None  # type: ignore[assignment]  # unhashable, as numpy arrays are


async def while_sync_code_runs(call: Callable[[], Any], meanwhile: Callable[[], Any]) -> tuple[Any, Any]:
    """Await a wrapper of ``call`` and, in another task of the same context, do something meanwhile.

    Returns the values of the two variables in that context afterwards.
    """
    entered, release = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        release.wait(40)
        call()

    async def change() -> None:
        while not entered.is_set():
            await asyncio.sleep(0.001)
        meanwhile()
        release.set()

    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    changing = loop.create_task(change(), context=context)
    calling = loop.create_task(sync_to_async(work)(), context=context)
    await asyncio.gather(changing, calling)
    return context[variable], context[other]


def test_a_change_elsewhere_is_not_undone(in_thread: InThread) -> None:
    """Two tasks share a context; one changes a variable while the other's sync call runs.

    asgiref 3.13.0 sets the variable back to what it was when the call began.
    """

    async def main() -> tuple[Any, Any]:
        variable.set("before")
        other.set("before")
        return await while_sync_code_runs(lambda: other.set("sync"), lambda: variable.set("meanwhile"))

    assert in_thread(main()) == ("meanwhile", "sync")


def test_setting_a_variable_to_the_value_it_had_changes_nothing(in_thread: InThread) -> None:
    """The value that came is the value that goes back: nothing was really set."""

    async def main() -> tuple[Any, Any]:
        variable.set("before")
        other.set("before")
        return await while_sync_code_runs(
            lambda: variable.set(variable.get()), lambda: variable.set("meanwhile")
        )

    assert in_thread(main()) == ("meanwhile", "before")


def test_of_two_changes_the_last_to_come_back_wins(in_thread: InThread) -> None:
    async def main() -> tuple[Any, Any]:
        variable.set("before")
        other.set("before")
        return await while_sync_code_runs(lambda: variable.set("sync"), lambda: variable.set("meanwhile"))

    assert in_thread(main()) == ("sync", "before")


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_values_are_compared_by_identity(in_thread: InThread, thread_sensitive: bool) -> None:
    async def main() -> None:
        first, second = Touchy(), Touchy()
        variable.set(first)
        other.set(first)
        await sync_to_async(lambda: other.set(second), thread_sensitive=thread_sensitive)()
        assert variable.get() is first
        assert other.get() is second

    in_thread(main())


def test_values_are_compared_by_identity_on_the_way_to_async_code(in_thread: InThread) -> None:
    first, second = Touchy(), Touchy()

    async def change() -> None:
        assert variable.get() is first
        other.set(second)

    def root() -> None:
        variable.set(first)
        other.set(first)
        async_to_sync(change)()
        assert variable.get() is first
        assert other.get() is second

    in_thread(root)


def test_an_equal_value_that_is_another_object_comes_back(in_thread: InThread) -> None:
    first, second = [1], [1]

    async def main() -> Any:
        variable.set(first)
        await sync_to_async(variable.set)(second)
        return variable.get()

    assert in_thread(main()) is second


@pytest.mark.parametrize("value", [None, False, 0, "", ()])
def test_false_values_come_back(in_thread: InThread, value: Any) -> None:
    async def main() -> Any:
        variable.set("before")
        await sync_to_async(variable.set)(value)
        return variable.get()

    assert in_thread(main()) == value


def test_a_variable_that_was_never_set_stays_unset(in_thread: InThread) -> None:
    unset: contextvars.ContextVar[int] = contextvars.ContextVar("unset")

    async def main() -> bool:
        await sync_to_async(lambda: unset.get(0))()
        return unset in contextvars.copy_context()

    assert in_thread(main()) is False


def test_a_token_made_before_the_call_is_still_good_after_it(in_thread: InThread) -> None:
    async def main() -> Any:
        token = variable.set("inside")
        await sync_to_async(lambda: None)()
        variable.reset(token)
        return variable.get()

    assert in_thread(main()) == "default"


def test_set_and_reset_on_the_other_side_leaves_things_as_they_were(in_thread: InThread) -> None:
    """``with`` blocks over context variables, such as Django's translation.override."""

    def work() -> None:
        token = variable.set("inside")
        variable.reset(token)

    async def main() -> Any:
        variable.set("before")
        await sync_to_async(work)()
        return variable.get()

    assert in_thread(main()) == "before"


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_values_go_down_and_come_up_through_every_level(in_thread: InThread, depth: int) -> None:
    async def descend(level: int) -> None:
        variable.set((*variable.get(), f"async {level}"))
        if level:
            await sync_to_async(frame)(level)

    def frame(level: int) -> None:
        variable.set((*variable.get(), f"sync {level}"))
        async_to_sync(descend)(level - 1)

    async def main() -> Any:
        variable.set(())
        await descend(depth)
        return variable.get()

    expected = [f"{side} {level}" for level in range(depth, -1, -1) for side in ("async", "sync")][:-1]
    assert list(in_thread(main())) == expected


def test_a_task_created_on_the_other_side_keeps_its_changes_to_itself(in_thread: InThread) -> None:
    """As everywhere in asyncio: a task has a copy of its context."""

    async def change() -> None:
        variable.set("task")

    async def inner() -> None:
        await asyncio.create_task(change())

    async def main() -> Any:
        variable.set("before")
        await sync_to_async(async_to_sync(inner))()
        return variable.get()

    assert in_thread(main()) == "before"


def test_calls_at_the_same_time_keep_their_values_apart(in_thread: InThread) -> None:
    async def caller(who: int) -> list[Any]:
        variable.set(who)
        return [await sync_to_async(variable.get)() for _ in range(20)]

    async def main() -> list[list[Any]]:
        return list(await asyncio.gather(*(caller(who) for who in range(20))))

    assert in_thread(main()) == [[who] * 20 for who in range(20)]


def test_nothing_stays_behind_on_the_worker_thread(in_thread: InThread) -> None:
    """Not for the next call and not for code that runs on the thread without us."""

    async def main() -> Any:
        async with ThreadSensitiveContext():
            await sync_to_async(variable.set)("first call")

        async def fresh() -> Any:
            return await sync_to_async(variable.get)()

        return await asyncio.get_running_loop().create_task(fresh(), context=contextvars.Context())

    assert in_thread(main()) == "default"


def test_work_served_by_an_idle_frame_does_not_change_the_frame(in_thread: InThread) -> None:
    """Other tasks' sensitive work on the thread of a waiting frame runs in its own context."""

    async def inner() -> None:
        async def stranger() -> None:
            variable.set("stranger")
            await sync_to_async(other.set)("stranger")

        await asyncio.get_running_loop().create_task(stranger(), context=contextvars.Context())

    def root() -> tuple[Any, Any]:
        variable.set("root")
        async_to_sync(inner)()
        return variable.get(), other.get()

    assert in_thread(root) == ("root", "default")


# Tasks, to_thread, Locals


def test_a_value_set_in_a_task_is_seen_in_to_thread(in_thread: InThread) -> None:
    """asyncio.to_thread copies the context on purpose. asgiref 3.13.0 hides the Local there."""

    async def task() -> tuple[Any, Any]:
        variable.set("task")
        local.value = "task"
        return await asyncio.to_thread(variable.get), await asyncio.to_thread(getattr, local, "value", None)

    async def main() -> tuple[Any, Any]:
        return await asyncio.create_task(task())

    assert in_thread(main()) == ("task", "task")


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_a_value_set_in_a_task_is_seen_in_sync_code_and_changes_come_back(
    in_thread: InThread, thread_sensitive: bool
) -> None:
    def work() -> tuple[Any, Any]:
        values = variable.get(), local.value
        variable.set("sync")
        local.value = "sync"
        return values

    async def task() -> list[tuple[Any, Any]]:
        variable.set("task")
        local.value = "task"
        values = await sync_to_async(work, thread_sensitive=thread_sensitive)()
        return [values, (variable.get(), local.value)]

    async def main() -> list[tuple[Any, Any]]:
        return await asyncio.create_task(task())

    assert in_thread(main()) == [("task", "task"), ("sync", "sync")]


def test_a_local_deleted_on_the_other_side_is_gone(in_thread: InThread) -> None:
    async def main() -> bool:
        local.value = 1
        await sync_to_async(lambda: delattr(local, "value"))()
        return hasattr(local, "value")

    assert in_thread(main()) is False


def test_a_local_goes_through_every_level(in_thread: InThread) -> None:
    async def innermost() -> None:
        local.value += 1

    def frame() -> None:
        local.value += 1
        async_to_sync(innermost)()

    async def middle() -> None:
        local.value += 1
        await sync_to_async(frame)()

    def root() -> int:
        local.value = 0
        async_to_sync(middle)()
        value: int = local.value
        del local.value
        return value

    assert in_thread(root) == 3


# context=


def test_a_given_context_can_be_used_again_and_again(in_thread: InThread) -> None:
    context = contextvars.Context()

    def count() -> int:
        variable.set(1 if variable.get() == "default" else variable.get() + 1)
        result: int = variable.get()
        return result

    async def main() -> list[int]:
        return [await sync_to_async(count, context=context)() for _ in range(3)]

    assert in_thread(main()) == [1, 2, 3]


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_calls_that_share_a_context_end_in_the_same_way_every_time(
    in_thread: InThread, thread_sensitive: bool
) -> None:
    """A second call while the first is running works, or is refused with an error that says why (#536).

    asgiref 3.13.0 raises "cannot enter context ... is already entered" when the two really overlap.
    """

    async def overlap() -> tuple[str, ...]:
        context = contextvars.Context()
        entered, release = threading.Event(), threading.Event()

        def work() -> str:
            entered.set()
            release.wait(40)
            return "done"

        call = sync_to_async(work, context=context, thread_sensitive=thread_sensitive)
        first = asyncio.create_task(call())
        while not entered.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.create_task(call())
        await asyncio.wait([second], timeout=0.02)  # it is refused at once, or waits
        release.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        return tuple(r if isinstance(r, str) else f"{type(r).__name__}: {r}" for r in results)

    async def main() -> set[tuple[str, ...]]:
        return {await overlap() for _ in range(5)}

    outcomes = in_thread(main())
    assert len(outcomes) == 1
    first, second = outcomes.pop()
    assert first == "done"
    assert second == "done" or (second.startswith("RuntimeError") and "context=" in second)


def test_calls_in_parallel_that_share_a_context_end_in_the_same_way_every_time(in_thread: InThread) -> None:
    """asgiref 3.13.0: some of them fail, as it happens."""
    context = contextvars.Context()

    async def main() -> set[str]:
        call = sync_to_async(lambda: "done", context=context, thread_sensitive=False)
        results: list[Any] = []
        for _ in range(30):
            results += await asyncio.gather(*(call() for _ in range(8)), return_exceptions=True)
        return {r if isinstance(r, str) else type(r).__name__ for r in results}

    assert in_thread(main()) == {"done"}


def test_a_call_below_another_that_shares_its_context(in_thread: InThread) -> None:
    """The outer call is still inside the context: it works, or is refused with an error that says why."""
    context = contextvars.Context()

    async def inner() -> str:
        return await sync_to_async(lambda: "inner", context=context)()

    async def main() -> str:
        return await sync_to_async(async_to_sync(inner), context=context)()

    try:
        assert in_thread(main()) == "inner"
    except RuntimeError as exc:
        assert "context" in str(exc)  # noqa: PT017


def test_a_given_context_that_is_no_context_is_refused_at_once() -> None:
    """asgiref 3.13.0 fails at the call, on another thread."""
    with pytest.raises(TypeError, match="context"):
        sync_to_async(lambda: None, context={"variable": 1})  # type: ignore[call-overload]
