"""Ctrl-C, with a real SIGINT, while iterators, context managers and portals wait, in programs of their own."""

import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent as POSIX does it")

RunProgram = Callable[..., str]

#: Sends the signal from wherever the program is, so that there is no moment to be guessed from outside.
PROGRAM = """
import asyncio, contextlib, signal, sys, threading
from asgi_sync import *

def print(*words):
    # In one piece, whatever another thread prints.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")

def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

async def wait_for_ever(name):
    interrupt()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print(name, "cleaned up")

@contextlib.contextmanager
def interrupted(name):
    try:
        yield
    except KeyboardInterrupt:
        print(name, "interrupted")
    else:
        print(name, "NOT interrupted")

async def works():
    return await sync_to_async(lambda: "works")()
"""
END = "\nprint(async_to_sync(works)())\n"


def test_an_iterator_for_sync_code(run_program: RunProgram) -> None:
    """The generator is cancelled, in its task, before the caller hears of it, and is over."""
    out = run_program(
        PROGRAM
        + """
async def generate(first=True):
    if first:
        yield 1
    await wait_for_ever("generator")
    yield 2

def use(name, items):
    with interrupted(name):
        for _ in items:
            pass
    print(list(items))

use("lazy", async_to_sync(generate)())
# The consumer waits for the first item: later it may be elsewhere when the generator has come so far.
use("ahead", async_to_sync(generate, max_buffer_size=5)(first=False))
with AsyncSingleThreadContext():
    use("shared loop", async_to_sync(generate)())
with start_blocking_portal() as portal:
    use("portal", portal.wrap_async_iterator(generate()))
"""
        + END
    )
    expected = []
    for name in ("lazy", "ahead", "shared loop", "portal"):
        expected += ["generator cleaned up", f"{name} interrupted", "[]"]
    assert out.splitlines() == [*expected, "works"]


def test_an_iterator_for_async_code(run_program: RunProgram) -> None:
    """Below asyncio.run the task is cancelled; on the waiting main thread the generator's own code is interrupted."""
    out = run_program(
        PROGRAM
        + """
go_on = threading.Event()

def generate(loop):
    try:
        yield 1
        interrupt()
        # A signal that comes in the instant before a loop falls asleep is handled when it wakes: asyncio is so.
        loop.call_soon_threadsafe(int)
        go_on.wait()
        yield 2
    finally:
        print("generator closed", threading.current_thread() is threading.main_thread())

async def use(**options):
    try:
        async for number in sync_to_async(generate, **options)(asyncio.get_running_loop()):
            print(number)
    finally:
        go_on.set()

def here():
    try:
        yield 1
        interrupt()
        while True:
            pass
    finally:
        print("generator closed", threading.current_thread() is threading.main_thread())

async def use_here():
    async for number in sync_to_async(here)():
        print(number)

with interrupted("lazy"):
    asyncio.run(use())
go_on.clear()
with interrupted("a thread of its own"):
    asyncio.run(use(thread_sensitive=False))
with interrupted("main thread"):
    async_to_sync(use_here)()
# What was abandoned ends on the thread when it can: after the loop here.
"""
        + END
    )
    lines = out.splitlines()
    assert sorted(lines) == sorted(
        [
            *("1", "generator closed False", "lazy interrupted"),
            *("1", "generator closed False", "a thread of its own interrupted"),
            *("1", "generator closed True", "main thread interrupted"),
            "works",
        ]
    )
    assert lines.index("generator closed True") < lines.index("main thread interrupted")


def test_a_context_manager_for_sync_code(run_program: RunProgram) -> None:
    """In the block, while it is entered, and while it is left: it is left once, in its task."""
    out = run_program(
        PROGRAM
        + """
@contextlib.asynccontextmanager
async def manage(where):
    if where == "enter":
        await wait_for_ever("enter")
    try:
        yield
    except BaseException as error:
        print("left with", type(error).__name__)
        raise
    if where == "exit":
        await wait_for_ever("exit")

def use(where):
    with interrupted(where), async_to_sync(manage)(where):
        if where == "body":
            interrupt()
            while True:
                pass

for where in ("body", "enter", "exit"):
    use(where)
    with AsyncSingleThreadContext():
        use(where)
"""
        + END
    )
    body = ["left with KeyboardInterrupt", "body interrupted"]
    enter = ["enter cleaned up", "enter interrupted"]
    leave = ["exit cleaned up", "exit interrupted"]
    assert out.splitlines() == [*body, *body, *enter, *enter, *leave, *leave, "works"]


def test_a_context_manager_for_async_code(run_program: RunProgram) -> None:
    """Left on its thread, and before asyncio.run ends."""
    out = run_program(
        PROGRAM
        + """
@sync_to_async
@contextlib.contextmanager
def manage():
    try:
        yield
    finally:
        print("left", threading.current_thread() is threading.main_thread())

async def use():
    async with manage():
        await wait_for_ever("body")

with interrupted("below asyncio.run"):
    asyncio.run(use())
with interrupted("below async_to_sync"):
    async_to_sync(use)()
"""
        + END
    )
    assert out.splitlines() == [
        *("body cleaned up", "left False", "below asyncio.run interrupted"),
        *("body cleaned up", "left True", "below async_to_sync interrupted"),
        "works",
    ]


def test_a_portal(run_program: RunProgram) -> None:
    """A call is cancelled and the portal goes on; its end still cancels and awaits what is left in it."""
    out = run_program(
        PROGRAM
        + """
async def background(*, task_status):
    try:
        task_status.started()
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("background cleaned up")

async def never_ready(*, task_status):
    await wait_for_ever("task")

with interrupted("block"):
    with start_blocking_portal() as portal:
        portal.start_task(background)
        with interrupted("call"):
            portal.call(wait_for_ever, "call")
        with interrupted("start_task"):
            portal.start_task(never_ready)
        print(portal.call(works))
        interrupt()
        while True:
            pass
with interrupted("process portal"):
    process_portal().call(wait_for_ever, "process portal")
"""
        + END
    )
    lines = out.splitlines()
    # start_task waits in a call of its own: the task is cancelled with it, and goes on with its cleanup.
    assert sorted(lines) == sorted(
        [
            *("call cleaned up", "call interrupted"),
            *("task cleaned up", "start_task interrupted"),
            "works",
            *("background cleaned up", "block interrupted"),
            *("process portal cleaned up", "process portal interrupted"),
            "works",
        ]
    )
    assert lines.index("call cleaned up") < lines.index("call interrupted") < lines.index("works")
    assert lines.index("background cleaned up") < lines.index("block interrupted")
