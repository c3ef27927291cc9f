"""A new thread sees nothing of its parent's Local, also where it starts with a copy of its context.

It holds on all builds, but where a test says otherwise. What makes it hard is
``-X thread_inherit_context=1``: an interpreter that knows the option and runs without it starts itself with
it at the end of this module.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from asgi_local import Local
from asgi_local._home import Home, here
from asgi_local.lowlevel import CONTEXT_IS_INHERITED, adopt, depart, disown

if TYPE_CHECKING:
    from collections.abc import Callable

    InThread = Callable[[Callable[[], Any]], Any]

inherited = pytest.mark.skipif(not CONTEXT_IS_INHERITED, reason="new threads start with an empty context")


def look(local: Local) -> dict[str, Any]:
    """Return what is seen, and check that all ways to look agree."""
    seen = vars(local)
    assert list(local) == list(seen)
    assert {name: getattr(local, name) for name in ("x", "y") if hasattr(local, name)} == seen
    return seen


async def look_in_a_task(local: Local) -> dict[str, Any]:
    async def task() -> dict[str, Any]:
        return look(local)

    assert look(local) == await asyncio.create_task(task())
    return look(local)


# All that a thread may do first.
FIRST_ACTIONS: dict[str, Callable[[Local], Any]] = {
    "look": look,
    "get": lambda local: {"x": local.x} if hasattr(local, "x") else {},
    "copied context": lambda local: contextvars.copy_context().run(look, local),
    "twice copied context": lambda local: contextvars.copy_context().run(
        lambda: contextvars.copy_context().run(look, local)
    ),
    "loop": lambda local: asyncio.run(look_in_a_task(local)),
    "loop in a copied context": lambda local: contextvars.copy_context().run(
        lambda: asyncio.run(look_in_a_task(local))
    ),
}


@pytest.mark.parametrize("action", FIRST_ACTIONS.values(), ids=FIRST_ACTIONS)
@pytest.mark.parametrize("in_task", [False, True], ids=["from sync code", "from a task"])
def test_a_new_thread_sees_nothing(local: Local, action: Any, in_task: bool, in_thread: InThread) -> None:
    async def main() -> Any:
        local.x = "parent"
        return in_thread(lambda: action(local))

    if in_task:
        assert asyncio.run(main()) == {}
    else:
        local.x = "parent"
        assert in_thread(lambda: action(local)) == {}
        assert local.x == "parent"


@pytest.mark.parametrize("action", FIRST_ACTIONS.values(), ids=FIRST_ACTIONS)
def test_a_grandchild_sees_nothing(local: Local, action: Any, in_thread: InThread) -> None:
    local.x = "grandparent"
    assert in_thread(lambda: in_thread(lambda: action(local))) == {}


def test_a_thread_sees_nothing_of_the_dead_whose_id_it_has(local: Local, repeat: int) -> None:
    """asgiref 3.12 to 3.13 compares thread ids, which the operating system hands out again at once."""
    ids: set[int] = set()
    seen: list[dict[str, Any]] = []

    def second() -> None:
        ids.add(threading.get_ident())
        seen.append(look(local))

    def first() -> None:
        ids.add(threading.get_ident())
        local.x = "of a dead thread"
        # Started from here: where contexts are inherited, it gets this one.
        nonlocal child
        child = threading.Thread(target=lambda: (started.set(), parent.join(20), second()))
        child.start()
        started.wait(20)

    rounds = max(200, repeat)
    for _ in range(rounds):
        started = threading.Event()
        child = threading.Thread()
        parent = threading.Thread(target=first)
        parent.start()
        parent.join(20)
        child.join(20)
        grandchild = threading.Thread(target=second)
        grandchild.start()
        grandchild.join(20)
    assert seen == [{}] * (2 * rounds)
    assert len(ids) < 3 * rounds, "no id was ever used again: this shows nothing"


def test_heirs_of_the_dead_see_nothing_even_with_their_id(local: Local, repeat: int) -> None:
    """The heir hands the dead thread's context on to a thread that the dead one's id is free for."""
    seen: list[dict[str, Any]] = []
    used_again = 0

    def owner() -> None:
        nonlocal heir
        local.x = "of a dead thread"
        heir = threading.Thread(target=inherit, args=[threading.current_thread()])
        heir.start()

    def inherit(owner: threading.Thread) -> None:
        owner.join(20)
        last = threading.Thread(target=look_as, args=[owner.ident])
        last.start()
        last.join(20)

    def look_as(ident: int | None) -> None:
        nonlocal used_again
        used_again += threading.get_ident() == ident
        seen.append(look(local))

    rounds = max(200, repeat)
    for _ in range(rounds):
        heir = threading.Thread()
        thread = threading.Thread(target=owner)
        thread.start()
        thread.join(20)
        heir.join(20)
    assert seen == [{}] * rounds
    assert used_again, "no id was ever used again: this shows nothing"


def test_a_home_ends_with_its_thread(in_thread: InThread) -> None:
    """Also one that is made while the thread ends."""

    class Last:
        def __del__(self) -> None:
            homes.append((here.home, threading.get_ident()))

    class Lasts(threading.local):
        def __init__(self) -> None:
            self.last = Last()

    homes: list[tuple[Home, int]] = []
    early, late = Lasts(), Lasts()

    def live() -> bool:
        assert early.last
        homes.append((here.home, threading.get_ident()))
        assert late.last
        return here.home.is_here()

    def visit() -> list[bool]:
        present = threading.get_ident()
        idents.append(present)
        return [home.is_here() for home, ident in homes if ident == present]

    idents: list[int] = []
    for _ in range(100):
        assert in_thread(live) is True
        assert not any(in_thread(visit))
    assert set(idents) & {ident for _, ident in homes}, "no id was ever used again: this shows nothing"
    assert not any(home.is_here() for home, _ in homes)


def test_a_pool_that_another_request_started(local: Local) -> None:
    def plain_job() -> list[Any]:
        return [action(local) for action in FIRST_ACTIONS.values()]

    async def request(pool: ThreadPoolExecutor, name: str) -> None:
        local.x = name
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(pool, plain_job) == [{}] * len(FIRST_ACTIONS)

    with ThreadPoolExecutor(max_workers=1) as pool:
        asyncio.run(request(pool, "first"))
        asyncio.run(request(pool, "second"))
        local.x = "sync"
        assert pool.submit(plain_job).result(20) == [{}] * len(FIRST_ACTIONS)


def test_to_thread_sees_its_caller_whoever_started_the_worker() -> None:
    local = Local()

    async def request(name: str | None) -> Any:
        if name is not None:
            local.x = name
        loop = asyncio.get_running_loop()
        jobs = [
            (asyncio.to_thread, ()),
            (loop.run_in_executor, (None, contextvars.copy_context().run)),
        ]
        results = [await start(*arguments, look, local) for start, arguments in jobs]
        assert results[0] == results[1]
        assert await asyncio.to_thread(lambda: asyncio.run(look_in_a_task(local))) == results[0]
        return results[0]

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        # The first starts the worker; where contexts are inherited, the worker starts with its values.
        assert await asyncio.create_task(request("a")) == {"x": "a"}
        assert await asyncio.create_task(request("b")) == {"x": "b"}
        assert await asyncio.create_task(request(None)) == {}
        assert await asyncio.create_task(request("a")) == {"x": "a"}

    asyncio.run(main())


def test_a_thread_from_within_to_thread_sees_nothing(in_thread: InThread) -> None:
    local = Local()

    def work() -> Any:
        return look(local), in_thread(lambda: look(local)), look(local)

    async def main() -> Any:
        local.x = 1
        return await asyncio.to_thread(work)

    assert asyncio.run(main()) == ({"x": 1}, {}, {"x": 1})


def test_what_to_thread_sets_is_its_own() -> None:
    local = Local()

    def work() -> dict[str, Any]:
        local.y = 2
        del local.x
        return look(local)

    async def main() -> None:
        local.x = 1
        assert await asyncio.to_thread(work) == {"y": 2}
        assert look(local) == {"x": 1}

    asyncio.run(main())


def test_reading_on_another_thread_does_not_look_like_a_change() -> None:
    """A bridge that writes changes back must not undo what others did meanwhile."""
    local = Local()

    async def main() -> Any:
        local.x = 1
        context = contextvars.copy_context()
        mine = {var: value for var, value in context.items() if var.name == "asgi_local"}
        assert mine
        seen = await asyncio.get_running_loop().run_in_executor(None, context.run, look, local)
        assert all(context[var] is value for var, value in mine.items())
        return seen

    assert asyncio.run(main()) == {"x": 1}


async def look_in_a_worker(local: Local) -> Any:
    return await asyncio.to_thread(look, local)


def test_a_new_thread_does_not_hand_on_what_it_does_not_see(in_thread: InThread) -> None:
    """It never looks itself, so its context still has what it inherited."""
    local = Local()
    local.x = "parent"
    assert in_thread(lambda: asyncio.run(look_in_a_worker(local))) == {}

    async def main() -> Any:
        local.x = "task"
        return in_thread(lambda: asyncio.run(look_in_a_worker(local)))

    assert asyncio.run(main()) == {}


def test_a_pool_job_does_not_hand_on_what_another_request_left() -> None:
    local = Local()

    async def request(pool: ThreadPoolExecutor, name: str | None) -> None:
        if name is not None:
            local.x = name
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(pool, lambda: asyncio.run(look_in_a_worker(local))) == {}

    with ThreadPoolExecutor(max_workers=1) as pool:
        asyncio.run(request(pool, "first"))
        asyncio.run(request(pool, "second"))
        asyncio.run(request(pool, None))


def test_to_thread_from_a_loop_within_to_thread() -> None:
    local = Local()

    async def main() -> Any:
        local.x = 1
        return await asyncio.to_thread(lambda: asyncio.run(look_in_a_worker(local)))

    assert asyncio.run(main()) == {"x": 1}


def test_idle_threads_that_inherited_do_not_matter(in_thread: InThread) -> None:
    local = Local()
    may_end = threading.Event()

    async def main() -> Any:
        local.x = 1
        threads = [threading.Thread(target=may_end.wait, args=(60,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            return [await look_in_a_worker(local) for _ in range(3)]
        finally:
            may_end.set()
            for thread in threads:
                thread.join(20)

    assert asyncio.run(main()) == [{"x": 1}] * 3


@pytest.mark.parametrize("inner", FIRST_ACTIONS.values(), ids=FIRST_ACTIONS)
def test_a_copy_of_the_context_shows_nothing_on_another_plain_thread(inner: Any, in_thread: InThread) -> None:
    """What sync code set does not go with a ``Context.run``, unless asgi-sync sent the context."""
    local = Local()
    local.x = "parent"
    context = contextvars.copy_context()

    def child() -> None:
        assert inner(local) == {}
        local.x = "child"
        assert inner(local) == {"x": "child"}

    in_thread(lambda: context.run(child))
    assert look(local) == {"x": "parent"}


def test_to_thread_from_the_other_side_of_a_bridge(in_thread: InThread) -> None:
    local = Local()
    local.x = 1
    assert send(in_thread, lambda: asyncio.run(look_in_a_worker(local))) == {"x": 1}


def test_to_thread_of_what_a_bridge_wrote_back(in_thread: InThread) -> None:
    local = Local()

    def thread() -> Any:
        send(in_thread, lambda: setattr(local, "x", 1))
        return asyncio.run(look_in_a_worker(local))

    assert in_thread(thread) == {"x": 1}


def send(in_thread: InThread, function: Callable[[], Any]) -> Any:
    """Cross to another thread and back as asgi-sync does."""
    context = contextvars.copy_context()
    context.run(depart)
    before = dict(context)

    def receive() -> Any:
        adopt()
        return function()

    result = in_thread(lambda: context.run(receive))
    disown()
    for var, value in context.items():
        if before.get(var) is not value:
            var.set(value)
    adopt()
    return result


def test_a_bridge_carries_values_and_changes_both_ways(in_thread: InThread) -> None:
    local = Local()
    local.x = local.y = "here"

    def there() -> dict[str, Any]:
        seen = look(local)
        local.x = "there"
        del local.y
        return seen

    assert send(in_thread, there) == {"x": "here", "y": "here"}
    assert look(local) == {"x": "there"}
    assert send(in_thread, lambda: send(in_thread, lambda: look(local))) == {"x": "there"}


def test_a_bridge_does_not_carry_what_was_only_inherited(in_thread: InThread) -> None:
    local = Local()
    local.x = "parent"
    other = Local()

    def child() -> None:
        other.y = "child"
        assert send(in_thread, lambda: (vars(local), vars(other))) == ({}, {"y": "child"})
        assert look(local) == {}
        assert look(other) == {"y": "child"}

    def idle_child() -> None:
        send(in_thread, lambda: setattr(other, "y", "from the other side"))
        assert look(local) == {}
        assert look(other) == {"y": "from the other side"}

    in_thread(child)
    in_thread(idle_child)
    assert look(local) == {"x": "parent"}


def test_what_a_bridge_wrote_back_stays_hidden_from_new_threads(in_thread: InThread) -> None:
    local = Local()
    send(in_thread, lambda: setattr(local, "x", 1))
    assert look(local) == {"x": 1}
    for action in FIRST_ACTIONS.values():
        assert in_thread(lambda action=action: action(local)) == {}


def test_a_callback_that_another_threads_sync_code_sent(in_thread: InThread) -> None:
    local = Local()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[dict[str, Any]] = loop.create_future()

        def other_thread() -> None:
            local.x = "other thread"
            loop.call_soon_threadsafe(lambda: seen.set_result(look(local)))

        in_thread(other_thread)
        return await asyncio.wait_for(seen, 20), look(local)

    # Where contexts are inherited, a context that was brought on purpose shows what it has.
    brought = {"x": "other thread"} if CONTEXT_IS_INHERITED else {}
    assert asyncio.run(main()) == (brought, {})


@inherited
def test_without_the_start_context_nothing_is_shown(
    in_thread: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Thread._context`` is private; an interpreter without it must not show a parent's values."""
    local = Local()

    class Opaque:
        """A thread that does not say what it began with."""

    monkeypatch.setattr("asgi_local._home.current_thread", Opaque)

    async def main() -> Any:
        local.x = 1
        return await asyncio.to_thread(look, local), in_thread(lambda: look(local))

    assert asyncio.run(main()) == ({}, {})


@inherited
def test_a_thread_that_threading_did_not_start_sees_what_it_is_given() -> None:
    import _thread

    local = Local()
    local.x = 1
    context = contextvars.copy_context()
    seen: list[Any] = []
    done = threading.Event()

    def work() -> None:
        seen.extend([look(local), context.run(look, local)])
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(20)
    assert seen == [{}, {"x": 1}]


@pytest.mark.skipif(
    sys.version_info < (3, 14) or CONTEXT_IS_INHERITED, reason="runs this module with the option"
)
def test_with_inherited_contexts() -> None:
    command = [
        sys.executable,
        "-X",
        "thread_inherit_context=1",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout.replace("1 skipped", "")
