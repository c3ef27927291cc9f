"""What the tests share: bounded threads, programs in a process of their own, and frames told apart."""

import asyncio
import faulthandler
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import pytest

#: How long, in seconds, a test waits for something that takes milliseconds when it works.
PATIENCE = float(os.environ.get("TEST_PATIENCE", "60"))

Job = Callable[..., Any] | Coroutine[Any, Any, Any]

#: Put before every program that runs in a process of its own: it ends itself with the stacks of all threads.
#: Ctrl-C means what it means at a terminal, though a shell's background jobs, and their children, ignore it.
WATCHDOG = """\
import faulthandler, signal
faulthandler.dump_traceback_later({timeout}, exit=True)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
"""

#: Put before it under -X dev, where asyncio says of each callback that took long: it does on a loaded machine.
PATIENT_DEV_MODE = """\
import logging
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))
"""

#: Put before it with TEST_LOOP=uvloop in the environment. Policies end in 3.16.
WITH_UVLOOP = """\
import asyncio, uvloop, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
"""
IS_UVLOOP = os.environ.get("TEST_LOOP") == "uvloop"


def pytest_configure(config: pytest.Config) -> None:
    """With TEST_LOOP=uvloop in the environment every loop that the tests make is uvloop's."""
    if IS_UVLOOP:
        exec(WITH_UVLOOP, {})


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there before the first test stays: the collections that tests ask for need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """A test that hung has failed by now; what hangs in it must not keep the interpreter from ending."""
    hung = [each for each in threading.enumerate() if each.name.startswith("asyncio_")]
    for thread in hung:
        thread.join(5)
    if any(thread.is_alive() for thread in hung):
        faulthandler.dump_traceback(all_threads=True)
        os._exit(pytest.ExitCode.INTERNAL_ERROR)


@pytest.fixture(scope="session")
def in_thread() -> Callable[..., Any]:
    """Call a function, or run a coroutine with asyncio.run, in a new plain thread, within bounded time.

    Hands on the result or the exception.
    """

    def run(
        function: Callable[..., Any] | Coroutine[Any, Any, Any], *args: Any, timeout: float = PATIENCE
    ) -> Any:
        outcome: list[Any] = []
        error: list[BaseException] = []

        def body() -> None:
            try:
                outcome.append(asyncio.run(function) if asyncio.iscoroutine(function) else function(*args))
            except BaseException as exc:
                error.append(exc)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            frame = sys._current_frames().get(thread.ident or 0)
            stack = "".join(traceback.format_stack(frame)) if frame else "(no stack)"
            pytest.fail(f"the thread still hangs after {timeout} s:\n{stack}")
        if error:
            raise error[0]
        return outcome[0]

    return run


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and its children."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


@pytest.fixture
def run_program() -> Callable[..., str]:
    """Run a program in a process of its own with a watchdog; return what it printed.

    Fails with the program's output when it hangs, or ends with another exit status than the expected one.
    Warnings are errors in it, as they are here; ``interact`` may talk to the running process.
    """

    def run(
        source: str,
        *arguments: str,
        timeout: float = PATIENCE,
        returncode: int = 0,
        interact: Callable[[subprocess.Popen[str]], None] | None = None,
        options: tuple[str, ...] = (),
        errors: list[str] | None = None,
    ) -> str:
        program = WATCHDOG.format(timeout=timeout) + textwrap.dedent(source)
        if "dev" in options:
            program = PATIENT_DEV_MODE + program
        if IS_UVLOOP:
            program = WITH_UVLOOP + program
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-W", "error", *options, "-c", program, *arguments]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # so that its children can be ended with it
        )
        with process:
            try:
                if interact is not None:
                    interact(process)
                out, err = process.communicate(timeout=timeout + 10)
            except subprocess.TimeoutExpired:
                end(process)
                out, err = process.communicate()
                pytest.fail(f"the process or a child of it hangs\n{out}\n{err}")
            except BaseException:
                end(process)
                raise
        if process.returncode != returncode:
            pytest.fail(f"exit status {process.returncode}, expected {returncode}\n{out}\n{err}")
        if errors is not None:
            errors.append(err)
        return out

    return run


@pytest.fixture
def library_frames() -> Callable[[BaseException], list[FrameType]]:
    """The frames of this library in an exception's traceback, outermost first."""

    def frames(exc: BaseException) -> list[FrameType]:
        return [
            frame
            for frame, _ in traceback.walk_tb(exc.__traceback__)
            if frame.f_globals.get("__name__", "").partition(".")[0] in {"asgi_sync", "asgi_local", "asgiref"}
        ]

    return frames
