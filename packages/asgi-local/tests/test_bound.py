"""What plain sync code sets stays on its thread, and ``depart`` lets it travel."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from types import MethodType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_local import Local, lowlevel
from asgi_local._bound import Bound
from asgi_local._state import State
from asgi_local.lowlevel import CONTEXT_IS_INHERITED, TRAVELS, DefaultLocal, adopt, depart

if TYPE_CHECKING:
    from collections.abc import Callable

    InThread = Callable[[Callable[[], Any]], Any]

bound = pytest.mark.skipif(CONTEXT_IS_INHERITED, reason="new threads inherit contexts: nothing is bound")


class Thing:
    pass


def sources() -> list[Any]:
    """Return all that the current context holds for Locals."""
    return [reader.__self__ for var, reader in contextvars.copy_context().items() if var.name == "asgi_local"]


def in_fresh(function: Callable[[], Any]) -> Any:
    return contextvars.Context().run(function)


@bound
def test_sync_code_sets_in_place_and_a_task_does_not() -> None:
    def sync() -> None:
        local = Local()
        local.x = 1
        (first,) = sources()
        assert type(first) is Bound
        for number in range(100):
            local.x = local.y = number
            del local.y
        (last,) = sources()
        assert last is first, "each set made a new one, as if a copy of the context were there"
        assert vars(local) == {"x": 99}

        async def task() -> None:
            local.x = "task"
            (held,) = sources()
            assert type(held) is State

        asyncio.run(task())
        assert sources() == [first]
        assert local.x == 99

    in_fresh(sync)


@bound
def test_a_task_sets_in_place_as_well() -> None:
    async def main() -> None:
        local = Local()
        local.x = 1
        (first,) = sources()
        assert type(first) is State
        for number in range(100):
            local.x = local.y = number
            del local.y
        assert sources()[0] is first, "each set made a new one, as if a copy of the context were there"
        assert vars(local) == {"x": 99}

        async def other() -> dict[str, Any]:
            local.x = "other"
            del local.z
            return vars(local)

        local.z = 1
        task = asyncio.create_task(other())
        local.x = "after"
        seen = await asyncio.to_thread(vars, local)
        assert await task == {"x": "other"}
        assert seen == vars(local) == {"x": "after", "z": 1}

    in_fresh(lambda: asyncio.run(main()))


@pytest.mark.parametrize("travels", [False, True], ids=["stays", "travels"])
def test_a_copy_of_the_context_is_noticed(travels: bool) -> None:
    def sync() -> None:
        if travels:
            depart()
        local = Local()
        local.x = local.y = 1
        copies = []
        for number in range(5):
            copies.append(contextvars.copy_context())
            local.x = number
            if number % 2:
                del local.y
                local.y = number
        assert [copy.run(lambda: local.x) for copy in copies] == [1, 0, 1, 2, 3]
        assert [copy.run(lambda: local.y) for copy in copies] == [1, 1, 1, 1, 3]
        for number, copy in enumerate(copies):
            copy.run(setattr, local, "x", ["copy", number])
        assert vars(local) == {"x": 4, "y": 3}
        assert [copy.run(lambda: local.x[1]) for copy in copies] == list(range(5))

    in_fresh(sync)


@bound
def test_a_copy_that_was_noticed_and_went_is_forgotten() -> None:
    def sync() -> None:
        local = Local()
        local.x = 1
        held = []
        for number in range(3):
            contextvars.copy_context()
            local.x = number
            held.append(sources()[0])
        assert local.x == 2
        assert held[0] is held[1] is held[2]

    in_fresh(sync)


ContextSteps = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "delete", "copy", "drop", "write back", "other variable"]),
        st.integers(0, 5),
        st.sampled_from("abc"),
        st.integers(0, 5),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(ContextSteps, st.sampled_from(["stays", "travels", "in a task"]))
def test_contexts_and_their_copies_are_apart(steps: list[tuple[str, int, str, int]], where: str) -> None:
    """What is changed in place and what is copied first must not show."""
    other: contextvars.ContextVar[int] = contextvars.ContextVar("other")
    local = Local()
    contexts = [(contextvars.Context(), dict[str, int]())]
    if where == "travels":
        contexts[0][0].run(depart)

    async def play() -> None:
        for action, index, name, number in steps:
            context, model = contexts[index % len(contexts)]
            if action == "set":
                context.run(setattr, local, name, number)
                model[name] = number
            elif action == "delete" and name in model:
                context.run(delattr, local, name)
                del model[name]
            elif action == "copy":
                contexts.append((context.copy(), model.copy()))
            elif action == "drop" and len(contexts) > 1:
                del contexts[index % len(contexts)]
            elif action == "write back":
                target, changed = contexts[number % len(contexts)]
                for var, value in context.items():
                    target.run(var.set, value)
                if any(var.name == "asgi_local" for var in context) and changed is not model:
                    changed.clear()
                    changed.update(model)
            else:
                context.run(other.set, number)
            del context, model
            assert [context.run(vars, local) for context, _ in contexts] == [model for _, model in contexts]

    if where == "in a task":
        asyncio.run(play())
    else:
        with pytest.raises(StopIteration):
            play().send(None)


def test_what_a_task_that_has_not_begun_will_see() -> None:
    local = Local()
    local.x = "before"
    loop = asyncio.new_event_loop()

    async def main() -> Any:
        return local.x

    try:
        task = loop.create_task(main())
        local.x = "after"
        assert loop.run_until_complete(task) == "before"
    finally:
        loop.close()
    assert local.x == "after"


def test_one_context_on_two_threads(in_thread: InThread) -> None:
    """Neither thread sees or changes what the other one set."""
    local = Local()
    context = contextvars.Context()
    copies: list[contextvars.Context] = []

    def first() -> None:
        local.x = "first"
        copies.append(contextvars.copy_context())

    def second() -> Any:
        if not CONTEXT_IS_INHERITED:
            assert vars(local) == {}
            assert not hasattr(local, "x")
            with pytest.raises(AttributeError):
                del local.x
        local.y = "second"
        return vars(local)["y"]

    context.run(first)
    assert in_thread(lambda: context.run(second)) == "second"
    assert copies[0].run(vars, local) == {"x": "first"}
    assert not hasattr(local, "y")


def test_many_threads_run_copies_of_one_context(repeat: int) -> None:
    """As jobs of a pool do that carry their submitter's context."""
    local = Local()
    local.x = "submitter"
    barrier = threading.Barrier(8, timeout=60)
    errors: list[BaseException] = []

    def job(number: int) -> None:
        assert not hasattr(local, "x")
        local.x = number
        for turn in range(20):
            setattr(local, f"name{turn % 3}", turn)
            assert local.x == number

    def work(number: int) -> None:
        try:
            barrier.wait()
            for _ in range(repeat):
                base.copy().run(job, number)
        except BaseException as error:  # asserted on in the test's own thread
            errors.append(error)

    base = contextvars.copy_context()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert errors == []
    assert vars(local) == {"x": "submitter"}


@bound
def test_special_names_answer_as_a_local_does(in_thread: InThread) -> None:
    local = Local()
    local.x = 1
    context = contextvars.copy_context()

    def check() -> None:
        assert issubclass(local.__class__, Local)
        assert local.__class__.__name__ == "Local"
        assert local.__doc__ == Local.__doc__
        assert local.__class__.__module__.startswith("asgi_local")
        assert local.__module__.startswith("asgi_local")
        assert isinstance(local, DefaultLocal)
        with pytest.raises(TypeError, match="copy or pickle vars"):
            local.__reduce_ex__(4)
        with pytest.raises(AttributeError, match="'Local' object has no attribute 'nothing'") as caught:
            _ = local.nothing
        assert caught.value.name == "nothing"
        for name in ("clear", "home", "methods", "travel"):
            assert not hasattr(local, name)
        local.__setattr__("z", 3)
        assert local.__getattribute__("z") == 3
        assert list(local.__iter__()) == list(local)
        local.__delattr__("z")
        with pytest.raises(AttributeError, match="reserved"):
            local.__setattr__("__asgi_local_home__", 1)

    check()
    in_thread(lambda: context.run(check))


def test_depart_lets_values_travel(in_thread: InThread) -> None:
    first, second = Local(), Local()

    def sync() -> None:
        first.x = second.x = 1
        context = contextvars.copy_context()
        context.run(depart)

        def there() -> None:
            adopt()
            assert (first.x, second.x) == (1, 1)
            first.x = 2  # and this travels as well
            third = Local()
            third.y = 3
            again = contextvars.copy_context()
            again.run(depart)
            assert in_thread(lambda: again.run(lambda: (adopt(), vars(first), vars(third)))) == (
                None,
                {"x": 2},
                {"y": 3},
            )

        in_thread(lambda: context.run(there))
        assert (first.x, second.x) == (1, 1)
        assert in_thread(lambda: contextvars.copy_context().run(vars, first)) == {}

    in_fresh(sync)


@bound
def test_depart_leaves_behind_what_other_threads_set(in_thread: InThread) -> None:
    local = Local()

    def sync() -> None:
        local.x = "here"
        contexts = [contextvars.copy_context() for _ in range(2)]

        def elsewhere() -> None:
            depart()
            assert vars(local) == {}
            local.y = "elsewhere"
            assert vars(local) == {"y": "elsewhere"}

        in_thread(lambda: contexts[0].run(elsewhere))
        assert vars(local) == {"x": "here"}

    in_fresh(sync)


@bound
def test_depart_marks_and_is_done_once() -> None:
    def sync() -> None:
        local = Local()
        assert TRAVELS.get() is False
        local.x = 1
        depart()
        assert TRAVELS.get() is True
        (held,) = sources()
        assert type(held) is State
        before = list(contextvars.copy_context().items())
        depart()
        assert list(contextvars.copy_context().items()) == before
        assert local.x == 1

    in_fresh(sync)


@bound
def test_depart_leaves_variables_of_others_alone() -> None:
    class Touchy:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"looked at {name}")

    var: contextvars.ContextVar[Any] = contextvars.ContextVar("var")
    method: contextvars.ContextVar[Any] = contextvars.ContextVar("method")

    def sync() -> None:
        touchy = Touchy()
        bound_method = MethodType(len, "abc")
        var.set(touchy)
        method.set(bound_method)
        local = Local()
        local.x = 1
        depart()
        assert var.get() is touchy
        assert method.get() is bound_method
        assert local.x == 1

    in_fresh(sync)


@pytest.mark.skipif(not CONTEXT_IS_INHERITED, reason="marks the context here")
def test_depart_never_marks_where_contexts_are_inherited() -> None:
    contextvars.Context().run(depart)
    assert lowlevel.TRAVELS.get() is False


def test_values_go_out_of_all_contexts_and_threads_with_the_local() -> None:
    """Also of threads that wait, and of contexts that departed."""
    box = [Local()]
    alive: list[weakref.ref[Thing]] = []
    may_end = threading.Event()
    ready = threading.Barrier(4, timeout=60)
    contexts: list[contextvars.Context] = []

    def hold() -> None:
        contexts.append(contextvars.copy_context())
        contexts[-1].run(keep)
        contexts.append(contexts[-1].copy())
        contexts[-1].run(depart)

    def keep() -> None:
        box[0].thing = Thing()
        alive.append(weakref.ref(box[0].thing))

    def work() -> None:
        hold()
        ready.wait()
        may_end.wait(60)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    hold()
    ready.wait()
    gc.collect()
    assert len(alive) == 4
    assert all(ref() is not None for ref in alive)
    box.clear()
    gc.collect()
    left = [ref() for ref in alive]
    may_end.set()
    for thread in threads:
        thread.join(20)
    assert left == [None] * 4


def test_values_go_with_their_thread() -> None:
    local = Local()
    alive: list[weakref.ref[Thing]] = []

    def work() -> None:
        local.thing = Thing()
        alive.append(weakref.ref(local.thing))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    del thread
    gc.collect()
    assert alive[0]() is None


@pytest.mark.parametrize("travels", [False, True], ids=["stays", "travels"])
def test_a_variable_that_is_used_again_is_emptied_again(travels: bool) -> None:
    """The second Local finds what the first one left in the same context, and must not be left out."""

    def sync() -> None:
        if travels:
            depart()
        for _ in range(5):
            local = Local()
            thing = local.x = Thing()
            alive = weakref.ref(thing)
            copy = contextvars.copy_context()
            del local, thing
            gc.collect()
            assert alive() is None
            del copy

    in_fresh(sync)


@bound
def test_what_sync_code_sets_stays_though_the_variable_travelled_before(in_thread: InThread) -> None:
    """A variable is used again, and the context still has what a call brought back for the Local that had it."""

    def sync() -> None:
        local = Local()
        context = contextvars.copy_context()
        context.run(depart)
        before = dict(context)
        context.run(setattr, local, "x", 1)
        for var, value in context.items():
            if before.get(var) is not value:
                var.set(value)
        assert local.x == 1
        del local, context, before, value
        gc.collect()

        again = Local()
        again.y = "here"
        copy = contextvars.copy_context()
        assert in_thread(lambda: copy.run(vars, again)) == {}
        assert vars(again) == {"y": "here"}

    in_fresh(sync)
