"""Event loops in threads of their own, for sync code that no loop waits for.

A loop is kept for the next call of its thread as long as that cannot be told from a fresh one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from queue import Empty
from typing import TYPE_CHECKING, Any

from ._clean_loop import attributes, has_callbacks, is_clean, set_shut
from ._state import process, thread
from ._work_queue import WorkQueue
from ._worker import new_thread, pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._frame import Frame


class LoopThread:
    """A thread that runs coroutines for waiting frames.

    Args:
        is_shared: Keep one loop for all calls until `close`, whatever they leave in it, and take calls from any
            thread. Otherwise one thread calls, once at a time, and each call finds a loop that is as good as new.
        loop_factory: Makes the loop; by default asyncio's policy does.
    """

    def __init__(
        self,
        *,
        is_shared: bool = False,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        name: str | None = None,
    ) -> None:
        self._is_shared = is_shared
        self._loop_factory = loop_factory
        # Whoever closes it may be a finalizer, and run on this very thread while it holds the lock.
        self._lock = threading.RLock()
        self._closed = False
        self._calls: WorkQueue[Frame | None] = WorkQueue()
        self._next: Frame | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[Frame] = set()
        self._is_clean = False
        self._attributes: dict[str, Any] = {}
        # Its own reference: a finalizer at the end of the interpreter finds no globals any more.
        self._process = process
        self._generation = process.generation
        self.thread: threading.Thread = new_thread(self._serve, "asgi-sync-loop")
        if name is not None:
            self.thread.name = name
        self.thread.start()
        _registry.add(self)

    # From the threads that call

    def submit(self, frame: Frame) -> bool:
        """Run the frame's coroutine; `False` if this thread has ended or is about to."""
        if self._is_inherited:
            return False
        with self._lock:
            if self._closed:
                return False
            self._running.add(frame)
            frame.loop_thread = self
            if self._is_shared and self._loop is not None:
                self._loop.call_soon_threadsafe(self._start, frame)
            else:
                self._calls.put(frame)
        return True

    def close(self) -> None:
        """End the loop as `asyncio.run` does, then the thread. From any thread; waits for nothing."""
        if self._is_inherited:
            return  # the loop and the thread are the parent's
        with self._lock:
            self._closed = True
            self._calls.put(None)
            if self._loop is not None:
                try:
                    self._loop.call_soon_threadsafe(self._loop.stop)
                except RuntimeError:
                    pass  # shut between two calls: the thread waits at the queue

    def join(self, timeout: float | None = None) -> None:
        """Wait, `timeout` seconds at most, until the thread has ended."""
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)

    @property
    def _is_inherited(self) -> bool:
        """Whether this is the child of a fork, where the thread is not. Some thread may have held the lock."""
        return self._generation is not self._process.generation

    @property
    def is_closed(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closed

    @property
    def can_be_replaced(self) -> bool:
        """Whether nobody would notice if the next call got another one."""
        return not self._running and not self._is_shared

    # On the thread

    def _serve(self) -> None:
        try:
            while self._has_call():
                self._run_loop()
        finally:
            self._closed = True
            _registry.discard(self)

    def _has_call(self) -> bool:
        """Wait until there is a call to run; `False` if there will be none."""
        while self._next is None:
            if self._closed and self._calls.empty():
                return False  # the word of that was heard between two calls
            try:
                self._next = self._calls.get(pool.idle_time)
            except Empty:
                if not self._end_if_unused():
                    continue
            if self._next is None:
                return False
        return True

    def _end_if_unused(self) -> bool:
        with self._lock:
            if self._running or self._is_shared:
                return False
            self._closed = True
            return True

    def _run_loop(self) -> None:
        failure: BaseException | None = None
        runner = asyncio.Runner(loop_factory=self._loop_factory)
        try:
            loop = runner.get_loop()
            with self._lock:
                self._loop = loop
                if self._closed:
                    loop.call_soon(loop.stop)
            self._run_calls(loop)
        except BaseException as error:  # SystemExit or KeyboardInterrupt out of a task, or no loop to be had
            failure = error
        try:
            with self._lock:
                self._loop = None
            runner.close()
        except BaseException as error:
            failure = failure or error
        self._settle(failure)
        del failure  # its traceback holds this frame

    def _run_calls(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one call after the other as long as the loop is as good as new; all calls, if it is shared.

        Between two calls the loop does not run: to be woken from a queue is cheaper than from a selector.
        """
        self._attributes = {}
        while True:
            loop.call_soon(self._start_next)
            self._is_clean = False
            loop.run_forever()
            # Somebody may have kept a reference, and scheduled something since.
            goes_on = self._is_clean and self._has_call() and not has_callbacks(loop)
            if self._is_clean:
                set_shut(loop, False)
            if not goes_on:
                break
        with self._lock:
            # In one step with the look: a call that comes later finds no loop, and waits for the next one.
            self._loop = None
            others = (frame for frame in self._running if frame is not self._next)
            was_stopped = not self._closed and any(not frame.finished for frame in others)
        if was_stopped:
            raise RuntimeError("The coroutine stopped its event loop before it had ended.")

    def _settle(self, failure: BaseException | None) -> None:
        """The loop is closed: let everybody go on who waited for it."""
        with self._lock:
            # One that has not been started waits for the next loop, if there is to be one.
            is_last = self._closed or failure is not None
            frames = [frame for frame in self._running if is_last or frame.loop is not None]
        for frame in frames:
            if failure is not None:
                frame.error = failure
            elif not frame.finished:
                frame.error = RuntimeError("The event loop was closed before the coroutine had ended.")
            if frame is self._next:
                self._next = None
            self._complete(frame)

    def _start_next(self) -> None:
        frame, self._next = self._next, None
        if not self._attributes:
            self._attributes = attributes(asyncio.get_running_loop())
        if frame is not None:
            self._start(frame)

    def _start(self, frame: Frame) -> None:
        frame.enter_loop(asyncio.get_running_loop())
        frame.start()
        if frame.finished:
            self._after_call(frame, 2)

    def frame_ended(self, frame: Frame) -> None:
        """A coroutine has ended; its task ends with the step that runs now."""
        asyncio.get_running_loop().call_soon(self._after_call, frame, 2)

    def _after_call(self, frame: Frame, spins: int) -> None:
        if self._is_shared:
            self._complete(frame)
            return
        loop = asyncio.get_running_loop()
        if spins and has_callbacks(loop):
            # Callbacks that the coroutine left: asyncio.run, too, runs the loop a little longer.
            loop.call_soon(self._after_call, frame, spins - 1)
            return
        self._is_clean = not frame.wants_new_loop and is_clean(loop, self._attributes)
        loop.stop()
        if self._is_clean:
            set_shut(loop, True)
            self._complete(frame)

    def _complete(self, frame: Frame) -> None:
        frame.leave_loop()
        with self._lock:
            self._running.discard(frame)
        frame.complete()


class LoopKeeper:
    """The loop threads that one calling thread uses, kept until that thread ends."""

    def __init__(self) -> None:
        self._free: list[LoopThread] = []

    def run(self, frame: Frame) -> LoopThread:
        """Have one of them run the frame's coroutine; the caller gives it back after the call."""
        while self._free and not frame.wants_new_loop:
            loop_thread = self._free.pop()
            if loop_thread.submit(frame):
                return loop_thread
        while True:
            loop_thread = LoopThread()
            # It may have ended already, if the idle time is short and the machine busy.
            if loop_thread.submit(frame):
                return loop_thread

    def give_back(self, loop_thread: LoopThread, frame: Frame) -> None:
        if frame.wants_new_loop:
            loop_thread.close()
        else:
            self._free.append(loop_thread)

    def __del__(self) -> None:
        for loop_thread in self._free:
            if not loop_thread.is_closed:  # as it is at exit, when even the names of this module are gone
                loop_thread.close()


def loops_of_this_thread() -> LoopKeeper:
    keeper = thread.loops
    if keeper is None:
        keeper = thread.loops = LoopKeeper()
    return keeper


class _Registry:
    """All loop threads of the process, so that none outlives it or is inherited by a fork."""

    def __init__(self) -> None:
        self._threads: set[LoopThread] = set()
        self._stayed_behind: list[LoopThread] = []
        # A finalizer may need a loop on the very thread that holds it.
        self._lock = threading.RLock()
        self._has_exit_hook = False

    def add(self, loop_thread: LoopThread) -> None:
        with self._lock:
            self._threads.add(loop_thread)
            if not self._has_exit_hook:
                self._has_exit_hook = True
                atexit.register(self.close_all)

    def discard(self, loop_thread: LoopThread) -> None:
        self._threads.discard(loop_thread)

    def close_all(self, *, only_idle: bool = False) -> None:
        """Close the loops and wait for their threads, two seconds at most for each."""
        threads = [each for each in list(self._threads) if each.can_be_replaced or not only_idle]
        for loop_thread in threads:
            loop_thread.close()
        for loop_thread in threads:
            loop_thread.join(2)

    def renew(self) -> None:
        """After a fork. What was busy then is kept for good: closing its loop would reach into the parent's."""
        self._stayed_behind.extend(self._threads)
        self._threads = set()
        self._lock = threading.RLock()


_registry = _Registry()
process.on_fork(_registry.renew)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=lambda: _registry.close_all(only_idle=True))
