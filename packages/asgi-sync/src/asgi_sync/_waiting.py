"""How a sync frame gets its coroutine run, and waits for it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from ._frame import Start
from ._loops import loops_of_this_thread
from ._scopes import async_single_thread_context
from ._state import process, public_thread

if TYPE_CHECKING:
    from ._frame import Frame

#: Seconds between two looks at whether the loop that a frame waits for still runs.
LOOK_AT_LOOP = 0.5
#: Seconds after which the main thread, idle in its wait, sees a signal that came in the instant before it fell asleep:
#: CPython's lock waits hear only those that come while they sleep (none at all on Windows).
HEED_SIGNALS = 0.5
#: So many looks in a row must find it stopped. It may be about to run again, as between two `run_until_complete`.
PATIENCE = 3
STOPPED = "The event loop stopped while async_to_sync was waiting for a coroutine in it."


def run_and_wait(frame: Frame) -> None:
    """Run the frame's coroutine in the loop where it belongs and serve the thread until it has ended."""
    call = frame.call
    outer = None
    if call is not None:
        # Whoever cancels the task that waits for this call is led to the coroutine that the call waits for.
        outer, call.frame = call.frame, frame
    try:
        _run(frame)
    except BaseException as interrupt:
        if not (frame.done or frame.is_interrupted or isinstance(interrupt, RuntimeError)):
            _end(frame)  # Ctrl-C in the moment between the start of the coroutine and the wait for it
        raise
    finally:
        if call is not None:
            call.frame = outer


def _end(frame: Frame) -> None:
    """Cancel the coroutine and wait until it has cleaned up, if it has been started at all."""
    frame.is_interrupted = True
    frame.request_cancel()
    looks = 0
    while not frame.home.serve_until(frame.is_over, LOOK_AT_LOOP, frame):
        looks += 1
        if frame.loop is None and looks == PATIENCE:
            return  # it was not, and now it is cancelled before its first step


def _run(frame: Frame) -> None:
    if frame.host is not None:
        frame.host.run(frame)
        return
    if not frame.wants_new_loop:
        parent = parent_loop()
        if parent is not None and run_in_parent(frame, parent):
            return
        scope = async_single_thread_context.get()
        if scope is not None:
            scope.run(frame)
            wait(frame)
            return
    keeper = loops_of_this_thread()
    loop_thread = keeper.run(frame)
    try:
        wait(frame)
    finally:
        if frame.done:
            keeper.give_back(loop_thread, frame)
        else:
            loop_thread.close()  # a second Ctrl-C: nobody waits for the coroutine's end


def parent_loop() -> Any:
    """The loop that waits for the sync code on this thread, if it is there to run something."""
    values = public_thread.__dict__
    loop = values.get("main_event_loop")
    # The loop of a parent process is not ours (asgiref issue 194); one that is stopped would let us wait for ever
    # (asgiref issues 525, 545, 558).
    if loop is None or values.get("main_event_loop_pid") != process.pid or not loop.is_running():
        return None
    return loop


def run_in_parent(frame: Frame, loop: asyncio.AbstractEventLoop) -> bool:
    """Run the coroutine in a loop that is not ours; `False` if that loop stopped before the coroutine began."""
    start = Start(frame)
    call = frame.call
    try:
        if call is not None and call.loop is loop:
            call.inbox.post(loop, start)
        else:
            loop.call_soon_threadsafe(start)
    except RuntimeError:  # closed since
        return False
    frame.parent = loop
    looks = 0
    while not wait(frame, LOOK_AT_LOOP):
        if loop.is_running():
            looks = 0
            continue
        if start.take_back():
            return False
        looks += 1
        if looks == PATIENCE:
            raise RuntimeError(STOPPED)
    if frame.done:
        return True
    if start.take_back():
        return False
    frame.close_unstarted()
    raise RuntimeError(STOPPED)


def wait(frame: Frame, timeout: float | None = None) -> bool:
    """Serve the thread's queue until the coroutine has ended; `False` if nothing happened for `timeout` seconds.

    Without a timeout, in a loop of ours: its thread completes the frame in any case.
    """
    try:
        if timeout is not None:
            return frame.home.serve_until(frame.is_over, timeout, frame)
        _wait_for_end(frame)
        return True
    except BaseException as interrupt:
        # Work that is served raises nothing here: this is Ctrl-C, or what another signal's handler raised. As
        # asyncio.run does it: cancel, let the coroutine clean up, then raise. A second one goes through at once.
        frame.is_interrupted = True
        frame.request_cancel()
        _wait_for_end(frame)
        error = frame.error
        if error is not None and not isinstance(error, asyncio.CancelledError):
            interrupt.__context__ = error
        raise


def _wait_for_end(frame: Frame) -> None:
    timeout = HEED_SIGNALS if frame.home.thread is threading.main_thread() else None
    while not frame.home.serve_until(frame.is_over, timeout, frame):
        pass
