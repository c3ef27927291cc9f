"""Memory: what a Local held goes with it, out of all contexts, and what is kept for later stays small."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from asgi_local import Local

if TYPE_CHECKING:
    from collections.abc import Callable


class Thing:
    pass


def variables() -> int:
    """Return how many of our variables the current context holds."""
    return sum(var.name == "asgi_local" for var in contextvars.copy_context())


@pytest.fixture(params=[False, True], ids=["default", "critical"])
def make(request: pytest.FixtureRequest) -> Callable[[], Local]:
    return lambda: Local(request.param)


def test_value_goes_with_the_local(make: Callable[[], Local]) -> None:
    local = make()
    thing = local.x = Thing()
    alive = weakref.ref(thing)
    del thing, local
    gc.collect()
    assert alive() is None


def test_value_goes_when_it_is_replaced_or_deleted(make: Callable[[], Local]) -> None:
    local = make()
    for action in (lambda: setattr(local, "x", 1), lambda: delattr(local, "x")):
        thing = local.x = Thing()
        alive = weakref.ref(thing)
        del thing
        action()
        gc.collect()
        assert alive() is None


def test_value_goes_out_of_contexts_that_live_on() -> None:
    local = Local()
    contexts = [contextvars.copy_context() for _ in range(300)]
    things = [Thing() for _ in contexts]
    for context, thing in zip(contexts, things, strict=True):
        context.run(setattr, local, "x", thing)
    alive = [weakref.ref(thing) for thing in things]
    del things, thing
    gc.collect()
    assert all(
        context.run(getattr, local, "x") is ref() for context, ref in zip(contexts, alive, strict=True)
    )
    del local
    gc.collect()
    assert not any(ref() for ref in alive)


@pytest.mark.asyncio
async def test_value_goes_with_its_task() -> None:
    local = Local()

    async def task() -> weakref.ref[Thing]:
        local.x = Thing()
        return weakref.ref(local.x)

    alive = await asyncio.create_task(task())
    # The step that the end of the task caused still has the task as its argument.
    await asyncio.sleep(0)
    gc.collect()
    assert alive() is None


def test_a_new_local_sees_nothing_of_the_one_before(make: Callable[[], Local]) -> None:
    """The second uses the context variable of the first, which lives on in all these contexts."""
    first = make()
    first.x = first.y = 1
    elsewhere = contextvars.copy_context()
    elsewhere.run(setattr, first, "z", 1)
    del first
    gc.collect()
    second = make()
    assert vars(second) == {}
    second.other = 2
    for context in (contextvars.copy_context(), elsewhere, contextvars.Context()):
        assert "x" not in context.run(dir, second)
        for name in "xyz":
            assert not context.run(hasattr, second, name)
            with pytest.raises(AttributeError):
                context.run(delattr, second, name)
    assert elsewhere.run(vars, second) in ({}, {"other": 2})


def test_kinds_do_not_use_each_others_variables() -> None:
    async def use(critical: bool) -> None:
        local = Local(critical)
        assert vars(local) == {}
        local.x = critical
        assert vars(local) == {"x": critical}

    async def main() -> None:
        for critical in (True, False) * 10:
            await use(critical)

    asyncio.run(main())


def churn(make: Callable[[], Local], number: int) -> None:
    for _ in range(number):
        local = make()
        local.x = bytearray(1000)
        local.y = 1


@pytest.mark.parametrize("in_task", [False, True])
def test_ten_thousand_made_and_dropped_leave_nothing(make: Callable[[], Local], in_task: bool) -> None:
    async def main() -> None:
        churn(make, 100)
        gc.collect()
        before = variables()
        tracemalloc.start()
        try:
            churn(make, 10_000)
            gc.collect()
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert variables() <= before + 2
        assert size < 200_000, "that is less than one in fifty of the 10,000 values of 1,000 bytes"

    if in_task:
        asyncio.run(main())
    else:
        with pytest.raises(StopIteration):
            main().send(None)


def test_many_at_once_leave_few_variables() -> None:
    def crowd() -> None:
        locals_ = [Local() for _ in range(200)]
        for local in locals_:
            local.x = 1

    crowd()
    gc.collect()
    before = variables()
    for _ in range(3):
        crowd()
        gc.collect()
    assert variables() == before


def test_a_cycle_with_a_local_is_collected(make: Callable[[], Local]) -> None:
    class Node:
        def __init__(self) -> None:
            self.local = make()
            self.me = self
            self.local.x = Thing()

    node = Node()
    alive = [weakref.ref(node), weakref.ref(node.local), weakref.ref(node.local.x)]
    del node
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3


def test_a_local_used_by_a_finaliser_that_runs_late(make: Callable[[], Local]) -> None:
    """In a cycle, the Local's finaliser may run before that of an object which still uses the Local."""
    seen: list[Any] = []

    class Owner:
        def __init__(self) -> None:
            self.local = make()
            self.local.me = None
            self.me = self

        def __del__(self) -> None:
            other = make()
            other.x = "of another Local"
            self.local.y = 1
            seen.append((self.local.y, hasattr(self.local, "x"), other.x, hasattr(other, "y")))

    # At one moment: the collector of CPython 3.11 may run in the midst of ContextVar.set, and the interpreter crashes
    # where a finaliser sets a variable then (CPython issue 148891).
    gc.disable()
    try:
        for _ in range(20):
            Owner()
        gc.collect()
    finally:
        gc.enable()
    assert seen == [(1, False, "of another Local", False)] * 20


def test_dropped_on_another_thread_than_it_was_used_on(make: Callable[[], Local], repeat: int) -> None:
    for _ in range(repeat):
        box = [make()]
        box[0].x = Thing()
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join(20)
        fresh = make()
        fresh.y = 1
        assert vars(fresh) == {"y": 1}


def test_eight_threads_on_one_local(make: Callable[[], Local], repeat: int) -> None:
    local = make()
    barrier = threading.Barrier(8, timeout=60)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            barrier.wait()
            local.count = 0
            local.mine = number
            for turn in range(repeat * 20):
                local.count += 1
                setattr(local, f"name{turn % 7}", turn)
                assert local.mine == number
                if turn % 5 == 0:
                    del local.mine
                    assert not hasattr(local, "mine")
                    local.mine = number
            assert local.count == repeat * 20, "an update was lost"
        except BaseException as error:  # asserted on in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert errors == []
    assert vars(local) == {}


def test_eight_threads_make_and_drop(make: Callable[[], Local], repeat: int) -> None:
    barrier = threading.Barrier(8, timeout=60)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            barrier.wait()
            for turn in range(repeat * 5):
                local = make()
                assert vars(local) == {}
                local.x = (number, turn)
                assert vars(local) == {"x": (number, turn)}
        except BaseException as error:  # asserted on in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert errors == []


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts references")
def test_reading_what_is_missing_makes_no_garbage(make: Callable[[], Local]) -> None:
    local = make()
    local.x = 1
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            assert getattr(local, "nothing", None) is None
        assert gc.collect() == 0
    finally:
        gc.enable()


FORK = """
import os, sys
from asgi_local import Local

critical = sys.argv[1] == "True"
local = Local(critical)
local.x = 1
read_end, write_end = os.pipe()
pid = os.fork()
if pid == 0:
    other = Local(critical)
    other.y = 2
    local.z = 3
    os.write(write_end, repr((vars(local), vars(other))).encode())
    os._exit(0)
os.waitpid(pid, 0)
print(os.read(read_end, 1000).decode(), vars(local))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("critical", [False, True])
def test_a_forked_child_goes_on(critical: bool) -> None:
    command = [sys.executable, "-c", FORK, str(critical)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "({'x': 1, 'z': 3}, {'y': 2}) {'x': 1}\n"


# A thread that never ends keeps modules: Python then clears what is in them, the last that was imported first.
EXIT = """
import asyncio, sys, threading
from asgi_local import Local

def stay(*modules):
    started.set()
    threading.Event().wait()

async def set_in_a_task():
    in_task.x = 1

started = threading.Event()
kept = [module for name, module in sys.modules.items() if name.startswith(("__main__", "asgi_local"))]
threading.Thread(target=stay, args=kept, daemon=True).start()
started.wait(60)
critical = sys.argv[1] == "True"
in_task, local = Local(critical), Local(critical)
local.x = 1
asyncio.run(set_in_a_task())
"""


@pytest.mark.parametrize("critical", [False, True])
def test_the_end_of_the_interpreter_is_quiet(critical: bool) -> None:
    command = [sys.executable, "-c", EXIT, str(critical)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
