"""Event loops in threads of their own, for sync code that no loop waits for.

A loop is kept for the next call of its thread as long as that cannot be told from a fresh one: see `is_clean`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ._stall import StallWatch
from ._state import process, thread
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
        self._calls: SimpleQueue[Frame | None] = SimpleQueue()
        self._next: Frame | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[Frame] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._used = False
        self._debug = False
        self._attributes = 0
        # Its own reference: a finalizer at the end of the interpreter finds no globals any more.
        self._process = process
        self._generation = process.generation
        self.thread = new_thread(self._serve, "asgi-sync-loop")
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
            self._used = True
            self._running.add(frame)
            frame.loop_thread = self
            if self._loop is None:
                self._calls.put(frame)
            else:
                self._loop.call_soon_threadsafe(self._start, frame)
        return True

    def close(self) -> None:
        """End the loop as `asyncio.run` does, then the thread. From any thread; waits for nothing."""
        if self._is_inherited:
            return  # the loop and the thread are the parent's
        with self._lock:
            self._closed = True
            self._calls.put(None)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self, timeout: float | None = None) -> None:
        """Wait, `timeout` seconds at most, until the thread has ended."""
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)

    @property
    def _is_inherited(self) -> bool:
        """Whether this is the child of a fork, where the thread is not. Some thread may have held the lock."""
        return self._generation is not self._process.generation

    @property
    def can_be_replaced(self) -> bool:
        """Whether nobody would notice if the next call got another one."""
        return not self._running and not self._is_shared

    # On the thread

    def _serve(self) -> None:
        try:
            while self._wait_for_call():
                self._run_loop()
        finally:
            self._closed = True
            _registry.discard(self)

    def _wait_for_call(self) -> bool:
        """Without a loop, until there is a call to run in one; `False` if there will be none."""
        while True:
            try:
                frame = self._calls.get(timeout=pool.idle_time)
            except Empty:
                if self._end_if_unused():
                    return False
            else:
                self._next = frame
                return frame is not None

    def _end_if_unused(self) -> bool:
        with self._lock:
            if self._used or self._running or self._is_shared:
                self._used = False
                return False
            self._closed = True
            return True

    def _run_loop(self) -> None:
        failure: BaseException | None = None
        runner = asyncio.Runner(loop_factory=self._loop_factory)
        try:
            loop = runner.get_loop()
            loop.call_soon(self._start_next)
            with self._lock:
                self._loop = loop
                if self._closed:
                    loop.call_soon(loop.stop)
            self._debug = loop.get_debug()
            self._attributes = len(getattr(loop, "__dict__", ()))
            self._watch_idle()
            loop.run_forever()
            with self._lock:
                # In one step with the look: a call that comes later finds no loop, and waits for the next one.
                self._loop = None
                was_stopped = not self._closed and any(not each.finished for each in self._running)
            if was_stopped:
                raise RuntimeError("The coroutine stopped its event loop before it had ended.")
        except BaseException as error:  # SystemExit or KeyboardInterrupt out of a task, or no loop to be had
            failure = error
        try:
            with self._lock:
                self._loop = None
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            runner.close()
        except BaseException as error:
            failure = failure or error
        self._settle(failure)
        del failure  # its traceback holds this frame

    def _settle(self, failure: BaseException | None) -> None:
        """The loop is closed: let everybody go on who waited for it."""
        with self._lock:
            # One that has not been started waits in the queue for the next loop, if there is to be one.
            is_last = self._closed or failure is not None
            frames = [frame for frame in self._running if is_last or frame.loop is not None]
        for frame in frames:
            if failure is not None:
                frame.error = failure
            elif not frame.finished:
                frame.error = RuntimeError("The event loop was closed before the coroutine had ended.")
            self._complete(frame)

    def _start_next(self) -> None:
        frame, self._next = self._next, None
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
        if spins and _has_callbacks(loop):
            # Callbacks that the coroutine left: asyncio.run, too, runs the loop a little longer.
            loop.call_soon(self._after_call, frame, spins - 1)
        elif not frame.wants_new_loop and self._is_clean(loop):
            self._complete(frame)
        else:
            loop.stop()

    def _is_clean(self, loop: asyncio.AbstractEventLoop) -> bool:
        return (
            is_clean(loop, self._idle_timer)
            and loop.get_debug() is self._debug
            and len(vars(loop)) == self._attributes  # nobody hung anything on it
        )

    def _complete(self, frame: Frame) -> None:
        frame.leave_loop()
        with self._lock:
            self._running.discard(frame)
        frame.complete()

    def _watch_idle(self) -> None:
        if self._loop is not None and not self._is_shared:
            self._idle_timer = self._loop.call_later(pool.idle_time, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self._end_if_unused():
            self._calls.put(None)
            asyncio.get_running_loop().stop()
        else:
            self._watch_idle()


def is_clean(loop: Any, own_timer: asyncio.TimerHandle | None = None) -> bool:
    """Whether nothing that a call could leave in a loop is there, apart from `own_timer`.

    Only asyncio's selector loop can be looked into; any other is never clean, and so never used twice. The names with
    an underscore are asyncio's, the same from 3.11 to 3.15.
    """
    if not _can_look_into(loop):
        return False
    return (
        not _has_callbacks(loop)
        and len(loop._selector.get_map()) == 1  # the loop's own self-pipe
        and not loop._asyncgens
        and loop._default_executor is None
        and loop._exception_handler is None
        and loop._task_factory is None
        and loop.slow_callback_duration == 0.1
        and not loop._asyncgens_shutdown_called
        and not loop._executor_shutdown_called
        and all(
            handle.cancelled() or handle is own_timer or StallWatch.owns(handle) for handle in loop._scheduled
        )
        and not _watches_subprocess(loop)
        and not _has_tasks(loop)
    )


# Up to 3.13 all_tasks copies a set of the tasks of all loops: mostly it is enough to see that there are none.
_tasks_of_all: Any = getattr(asyncio.tasks, "_scheduled_tasks", None)


def _has_tasks(loop: asyncio.AbstractEventLoop) -> bool:
    if _tasks_of_all is not None and not len(_tasks_of_all):
        return False
    return bool(asyncio.all_tasks(loop))


def _can_look_into(loop: object) -> bool:
    return type(loop) is asyncio.SelectorEventLoop


def _has_callbacks(loop: Any) -> bool:
    """Whether the loop has something to run, besides what it does itself when it was woken from another thread."""
    ready = getattr(loop, "_ready", None)
    if not ready:
        return False
    wake = loop._read_from_self
    try:
        # A copy, because other threads add to it at any time, and each comparison may let them run.
        return any(handle._callback != wake for handle in ready.copy())
    except RuntimeError:  # without a GIL even while it is copied
        return True


def _watches_subprocess(loop: Any) -> bool:
    """Whether a thread of asyncio's waits for a subprocess. Where the kernel tells, the loop holds a descriptor."""
    watcher = getattr(loop, "_watcher", None)
    if watcher is None and sys.version_info < (3, 14):
        policy: Any = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated]  # not in these versions
        watcher = getattr(policy, "_watcher", None)
    threads: dict[int, threading.Thread] = getattr(watcher, "_threads", None) or {}
    return any(each.is_alive() for each in list(threads.values()))


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
        loop_thread = LoopThread()
        loop_thread.submit(frame)
        return loop_thread

    def give_back(self, loop_thread: LoopThread, frame: Frame) -> None:
        if frame.wants_new_loop:
            loop_thread.close()
        else:
            self._free.append(loop_thread)

    def __del__(self) -> None:
        for loop_thread in self._free:
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
        self._lock = threading.Lock()
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
        self._lock = threading.Lock()


_registry = _Registry()
process.on_fork(_registry.renew)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=lambda: _registry.close_all(only_idle=True))
