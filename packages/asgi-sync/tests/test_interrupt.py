"""Ctrl-C, with a real SIGINT, in programs of their own."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent as POSIX does it")

RunProgram = Callable[..., str]


def interrupt_at(*words: str) -> Callable[[subprocess.Popen[str]], None]:
    """Send SIGINT each time the program has printed the next of the words."""

    def interact(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for word in words:
            line = process.stdout.readline()
            assert line == f"{word}\n", line
            process.send_signal(signal.SIGINT)
        # A signal that arrives in the instant before the event loop goes to sleep is handled when it wakes, by the
        # next signal for instance: true of any asyncio program.
        for _ in range(5):
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            else:
                break

    return interact


def test_an_interrupt_in_the_instant_before_the_thread_falls_asleep_is_heard(run_program: RunProgram) -> None:
    """The system call that the thread is about to make knows nothing of it; so does one that is simulated."""
    out = run_program(
        """
        import asyncio, _thread
        from asgi_sync import async_to_sync

        async def main():
            _thread.interrupt_main()
            try:
                await asyncio.sleep(3600)
            finally:
                _thread.interrupt_main()
                await asyncio.sleep(3600)

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert out == "interrupted\n"


#: The exit status of an interpreter that ends with an uncaught KeyboardInterrupt.
INTERRUPTED = -signal.SIGINT


def test_the_coroutine_is_cancelled_and_cleans_up_and_then_the_program_ends(run_program: RunProgram) -> None:
    """asgiref 3.13.0 raises at once, the coroutine goes on, and the process lingers until it is through."""
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("cancelled")
                raise
            finally:
                await asyncio.sleep(0.01)
                print("cleaned up")

        async_to_sync(main)()
        """,
        interact=interrupt_at("ready"),
        returncode=INTERRUPTED,
    )
    assert out == "cancelled\ncleaned up\n"


def test_keyboard_interrupt_is_raised_in_the_caller(run_program: RunProgram) -> None:
    """The cleanup is over when it is raised; bridging still works afterwards."""
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                print("cleaned up")

        async def again():
            return "works again"

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted")
        print(async_to_sync(again)())
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "cleaned up\ninterrupted\nworks again\n"


def test_a_coroutine_that_swallows_the_cancellation_does_not_swallow_the_interrupt(
    run_program: RunProgram,
) -> None:
    """As asyncio.run does it."""
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("swallowed")

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "swallowed\ninterrupted\n"


def test_tasks_of_the_coroutine_are_cancelled_too(run_program: RunProgram) -> None:
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def background():
            try:
                await asyncio.sleep(3600)
            finally:
                print("background ended")

        async def main():
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            print("ready")
            await asyncio.sleep(3600)

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "background ended\ninterrupted\n"


def test_a_second_interrupt_does_not_wait_for_the_cleanup(run_program: RunProgram) -> None:
    """Who presses Ctrl-C twice wants out now."""
    out = run_program(
        """
        import asyncio, os
        from asgi_sync import async_to_sync

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                print("cleaning up")
                await asyncio.sleep(3600)

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            os._exit(0)
        """,
        interact=interrupt_at("ready", "cleaning up"),
    )
    assert out == "interrupted\n"


def test_a_process_interrupted_twice_does_not_linger(run_program: RunProgram) -> None:
    """The coroutine that refuses to end is left behind with its daemon thread."""
    run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                print("cleaning up")
                await asyncio.sleep(3600)

        async_to_sync(main)()
        """,
        interact=interrupt_at("ready", "cleaning up"),
        returncode=INTERRUPTED,
    )


def test_an_interrupt_in_sensitive_code_on_the_main_thread(run_program: RunProgram) -> None:
    """It is the main thread's sync code that gets it; the coroutine sees it and cleans up."""
    out = run_program(
        """
        import asyncio, time
        from asgi_sync import async_to_sync, sync_to_async

        def work():
            print("ready")
            time.sleep(3600)

        async def main():
            try:
                await sync_to_async(work)()
            finally:
                await asyncio.sleep(0.01)
                print("cleaned up")

        try:
            async_to_sync(main)()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "cleaned up\ninterrupted\n"


def test_an_interrupt_reaches_code_that_is_nested_deeply(run_program: RunProgram) -> None:
    """The main thread idles in the inner of two frames; both coroutines clean up."""
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync, sync_to_async

        async def inner():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                print("inner cleaned up")

        async def outer():
            try:
                await sync_to_async(async_to_sync(inner))()
            finally:
                await asyncio.sleep(0.01)
                print("outer cleaned up")

        try:
            async_to_sync(outer)()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "inner cleaned up\nouter cleaned up\ninterrupted\n"


@pytest.mark.parametrize("option", ["", ", force_new_loop=True"])
def test_an_interrupt_of_a_forced_new_loop(run_program: RunProgram, option: str) -> None:
    out = run_program(
        f"""
        import asyncio
        from asgi_sync import async_to_sync, AsyncSingleThreadContext

        async def main():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                print("cleaned up")

        try:
            with AsyncSingleThreadContext():
                async_to_sync(main{option})()
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "cleaned up\ninterrupted\n"


def test_asyncio_run_above_sync_code_is_interrupted_as_usual(run_program: RunProgram) -> None:
    """asyncio.run cancels its main task; the cancellation goes on to the innermost task."""
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync, sync_to_async

        async def innermost():
            try:
                print("ready")
                await asyncio.sleep(3600)
            finally:
                print("cleaned up")

        async def main():
            await sync_to_async(async_to_sync(innermost))()

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "cleaned up\ninterrupted\n"


def test_a_handler_of_the_programs_own_is_respected(run_program: RunProgram) -> None:
    """Servers install one for SIGINT: no KeyboardInterrupt, no cancellation."""
    out = run_program(
        """
        import asyncio, signal, threading
        from asgi_sync import async_to_sync

        told = threading.Event()
        signal.signal(signal.SIGINT, lambda *args: told.set())

        async def main():
            print("ready")
            while not told.is_set():
                await asyncio.sleep(0.001)
            return "ended by itself"

        print(async_to_sync(main)())
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        """,
        interact=interrupt_at("ready"),
    )
    assert out == "ended by itself\n"


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_an_exit_raised_by_async_code_reaches_the_caller(run_program: RunProgram, error: str) -> None:
    """``sys.exit`` in a coroutine, as in a management command, ends the program and not just a loop."""
    out = run_program(
        f"""
        from asgi_sync import async_to_sync, sync_to_async

        async def main():
            raise {error}

        async def again():
            return "works again"

        try:
            async_to_sync(main)()
        except BaseException as exc:
            print(repr(exc))
        print(async_to_sync(again)())
        """
    )
    assert out == f"{error}\nworks again\n"


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_an_exit_raised_by_sync_code_reaches_the_caller(run_program: RunProgram, error: str) -> None:
    out = run_program(
        f"""
        import asyncio
        from asgi_sync import async_to_sync, sync_to_async

        def work():
            raise {error}

        async def main():
            try:
                await sync_to_async(work)()
            except BaseException as exc:
                print(repr(exc))
            return await sync_to_async(lambda: "works again")()

        print(asyncio.run(main()))
        """
    )
    assert out == f"{error}\nworks again\n"


def test_an_alarm_handler_that_raises_gets_out(run_program: RunProgram) -> None:
    """Timeouts by SIGALRM, as pytest-timeout and gunicorn's workers use them, end a waiting call."""
    out = run_program(
        """
        import asyncio, signal
        from asgi_sync import async_to_sync

        class Alarm(Exception):
            pass

        def ring(*args):
            raise Alarm

        signal.signal(signal.SIGALRM, ring)

        async def main():
            try:
                await asyncio.sleep(3600)
            finally:
                print("cleaned up")

        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            async_to_sync(main)()
        except Alarm:
            print("alarm")
        """
    )
    assert out == "cleaned up\nalarm\n"
