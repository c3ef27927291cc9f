"""Import, fork, multiprocessing and the end of the interpreter, in programs of their own."""

import os
from collections.abc import Callable

import pytest

RunProgram = Callable[..., str]

#: From 3.12 on, forking a process with threads warns; these programs fork on purpose.
FORKING = ("-W", "ignore::DeprecationWarning")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

#: Everything that a forked child does at once; prints one line.
CHILD = """
import asyncio, threading
from asgi_sync import AsyncSingleThreadContext, ThreadSensitiveContext, async_to_sync, sync_to_async

ident = threading.get_ident

async def aident():
    return ident()

async def nested():
    return await sync_to_async(lambda: async_to_sync(aident)())()

async def in_context():
    async with ThreadSensitiveContext():
        return await sync_to_async(ident)()

def use_everything():
    async_to_sync(aident)()
    async_to_sync(nested)()
    asyncio.run(nested())
    asyncio.run(in_context())
    asyncio.run(sync_to_async(ident, thread_sensitive=False)())
    with AsyncSingleThreadContext():
        async_to_sync(aident)()
        async_to_sync(nested)()

def fork(child):
    import os
    pid = os.fork()
    if pid == 0:
        import signal
        signal.alarm(40)  # faulthandler's watchdog thread is not in the child, and cannot be started anew
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


# Import


def test_nothing_happens_at_import(run_program: RunProgram) -> None:
    out = run_program(
        """
        import asyncio, threading
        asyncio.new_event_loop = None  # whoever makes a loop fails
        threading.Thread.start = None  # whoever starts a thread fails
        import asgi_sync
        print(threading.active_count())
        """
    )
    assert out == "1\n"


def test_a_wrapper_starts_nothing(run_program: RunProgram) -> None:
    out = run_program(
        """
        import threading
        from asgi_sync import async_to_sync, sync_to_async, ThreadSensitiveContext

        async def acall(): ...

        sync_to_async(int), async_to_sync(acall), ThreadSensitiveContext()
        print(threading.active_count())
        """
    )
    assert out == "1\n"


# Fork


@needs_fork
@pytest.mark.parametrize("used_before", [True, False])
def test_a_forked_child_can_bridge_at_once(run_program: RunProgram, used_before: bool) -> None:
    """When the parent has used it: the child has none of its threads (#194). asgiref 3.13.0 hangs."""
    out = run_program(
        CHILD + f"if {used_before}: use_everything()\nprint(fork(use_everything))\nuse_everything()\n",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_a_child_forked_by_sensitive_code_can_bridge_at_once(run_program: RunProgram) -> None:
    """The fork happens on the sensitive thread while a loop runs in the parent. asgiref 3.13.0 hangs."""
    out = run_program(
        CHILD
        + "async def main():\n    return await sync_to_async(fork)(use_everything)\n"
        + "print(asyncio.run(main()))\n",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_a_child_forked_in_a_context_can_bridge_at_once(run_program: RunProgram) -> None:
    out = run_program(
        CHILD
        + "async def main():\n    async with ThreadSensitiveContext():\n"
        + "        return await sync_to_async(fork)(use_everything)\nprint(asyncio.run(main()))\n",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_a_child_forked_below_a_sync_root_can_bridge_at_once(run_program: RunProgram) -> None:
    """The main thread forks while it serves a call of its own async code."""
    out = run_program(
        CHILD
        + "async def main():\n    return await sync_to_async(fork)(use_everything)\n"
        + "print(async_to_sync(main)())\n",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_a_child_forked_by_insensitive_code_can_bridge_at_once(run_program: RunProgram) -> None:
    out = run_program(
        CHILD
        + "async def main():\n    return await sync_to_async(fork, thread_sensitive=False)(use_everything)\n"
        + "print(asyncio.run(main()))\n",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_the_parent_goes_on_after_many_forks(run_program: RunProgram) -> None:
    out = run_program(
        CHILD
        + "for _ in range(5):\n    use_everything()\n    assert fork(use_everything) == 0\n"
        + "use_everything()\nprint('done')\n",
        options=FORKING,
        timeout=60,
    )
    assert out == "done\n"


@needs_fork
def test_a_forked_child_ends_by_itself(run_program: RunProgram) -> None:
    """Its interpreter ends in the ordinary way: no inherited thread is joined, nothing is printed."""
    errors: list[str] = []
    out = run_program(
        CHILD
        + """
use_everything()
import os, signal, sys
faulthandler.cancel_dump_traceback_later()  # the end of the child would wait for its thread
signal.alarm(60)
pid = os.fork()
if pid == 0:
    signal.alarm(40)
    use_everything()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
        options=FORKING,
        errors=errors,
    )
    assert out == "7\n"
    assert errors == [""]


@needs_fork
def test_a_fork_while_other_threads_bridge(run_program: RunProgram) -> None:
    """Locks of ours that another thread holds at that moment are free in the child."""
    out = run_program(
        CHILD
        + f"FORKS = {20 if os.environ.get('STRESS') else 3}\n"
        + """
stop = threading.Event()
def hammer():
    while not stop.is_set():
        asyncio.run(nested())
        async_to_sync(aident)()
hammers = [threading.Thread(target=hammer, daemon=True) for _ in range(3)]
for thread in hammers: thread.start()
for _ in range(FORKS):
    assert fork(use_everything) == 0
stop.set()
for thread in hammers: thread.join(40)
print('done')
""",
        options=FORKING,
        timeout=90,
    )
    assert out == "done\n"


@needs_fork
def test_a_fork_while_a_loops_own_lock_is_held(run_program: RunProgram) -> None:
    """Another thread may be sending a call to the loop of a context, or a portal, at that moment."""
    out = run_program(
        CHILD
        + """
with AsyncSingleThreadContext() as context:
    async_to_sync(aident)()
    inherited = context._loop_thread
    def child():
        context.__exit__(None, None, None)  # closes nothing: the loop is the parent's
        use_everything()
    with inherited._lock:
        another = threading.Thread(target=lambda: print(fork(child)))
        another.start()
        another.join(30)
    async_to_sync(nested)()
    assert context._loop_thread is inherited
""",
        options=FORKING,
    )
    assert out == "0\n"


@needs_fork
def test_multiprocessing_by_fork(run_program: RunProgram) -> None:
    """asgiref 3.13.0 hangs here (#194)."""
    out = run_program(
        CHILD
        + """
import multiprocessing
def main():
    use_everything()
    process = multiprocessing.get_context("fork").Process(target=use_everything)
    process.start()
    process.join(40)
    print(process.exitcode)
main()
""",
        options=FORKING,
    )
    assert out == "0\n"


# The end of the interpreter


def test_the_interpreter_ends_without_a_warning(run_program: RunProgram) -> None:
    """No ResourceWarning about loops and sockets, nothing on standard error; -X dev shows them all."""
    errors: list[str] = []
    out = run_program(CHILD + "use_everything()\nprint('done')\n", options=("-X", "dev"), errors=errors)
    assert (out, errors) == ("done\n", [""])


def test_the_interpreter_ends_while_a_thread_has_bridged_and_waits(run_program: RunProgram) -> None:
    errors: list[str] = []
    out = run_program(
        CHILD
        + """
used = threading.Event()
def other():
    use_everything()
    used.set()
    threading.Event().wait(60)
threading.Thread(target=other, daemon=True).start()
assert used.wait(40)
print('done')
""",
        options=("-X", "dev"),
        errors=errors,
    )
    assert (out, errors) == ("done\n", [""])


def test_the_interpreter_waits_for_sync_code_that_was_abandoned(run_program: RunProgram) -> None:
    """As concurrent.futures does: a write to a file is not cut off in the middle. asgiref does so too."""
    out = run_program(
        """
        import asyncio, threading, time
        from asgi_sync import sync_to_async

        entered = threading.Event()

        def work():
            entered.set()
            time.sleep(0.3)
            print("ended")

        async def main():
            task = asyncio.create_task(sync_to_async(work)())
            while not entered.is_set():
                await asyncio.sleep(0.001)
            task.cancel()

        asyncio.run(main())
        print("loop ended")
        """
    )
    assert out == "loop ended\nended\n"


def test_bridging_at_exit_works_or_says_why_not(run_program: RunProgram) -> None:
    """atexit handlers of web frameworks close connections through async_to_sync."""
    out = run_program(
        CHILD
        + """
import atexit
@atexit.register
def last():
    try:
        async_to_sync(aident)()
    except RuntimeError as exc:
        assert "shutdown" in str(exc) or "exit" in str(exc), exc
    print("at exit")
use_everything()
"""
    )
    assert out == "at exit\n"


def test_bridging_at_exit_for_the_first_time_works_or_says_why_not(run_program: RunProgram) -> None:
    out = run_program(
        CHILD
        + """
import atexit
@atexit.register
def last():
    try:
        use_everything()
    except RuntimeError as exc:
        assert "shutdown" in str(exc) or "exit" in str(exc), exc
    print("at exit")
"""
    )
    assert out == "at exit\n"


def test_a_thread_that_goes_on_after_the_main_thread_can_bridge(run_program: RunProgram) -> None:
    """Servers run in such threads: the interpreter waits for them before it ends."""
    out = run_program(
        CHILD
        + """
ready = threading.Event()
def other():
    ready.set()
    threading.main_thread().join(40)
    try:
        use_everything()
        print("bridged")
    except RuntimeError as exc:
        assert "shutdown" in str(exc) or "exit" in str(exc), exc
        print("told")
threading.Thread(target=other).start()
ready.wait()
"""
    )
    assert out in {"bridged\n", "told\n"}


def test_garbage_at_the_end_of_the_interpreter_is_silent(run_program: RunProgram) -> None:
    """Wrappers and contexts in module globals and in cycles go down without "Exception ignored"."""
    errors: list[str] = []
    run_program(
        CHILD
        + """
use_everything()
class Holder: ...
holder = Holder()
holder.me, holder.wrapper, holder.awrapper = holder, sync_to_async(ident), async_to_sync(aident)
holder.context = ThreadSensitiveContext()
async def keep():
    holder.loop = asyncio.get_running_loop()
    await sync_to_async(ident)()
asyncio.run(keep())
""",
        options=("-X", "dev"),
        errors=errors,
    )
    assert errors == [""]
