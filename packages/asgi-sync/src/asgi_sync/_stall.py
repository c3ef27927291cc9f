"""Say so when sensitive work waits too long: what holds the thread, who waits."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import traceback
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import DeadlockError
from ._names import name_of

if TYPE_CHECKING:
    import threading

    from ._call import Call
    from ._home import Home

logger = logging.getLogger("asgi_sync")

#: Seconds that a sensitive call may wait for its thread before a warning, or `None` for no warning.
limit: float | None = 5.0


class StallWatch:
    """One timer per busy thread: looks, every `limit` seconds, whether the thread has come to those who wait."""

    __slots__ = ("_call", "_home", "_is_told", "_loop", "_served", "_since", "_task", "_warned")

    def __init__(self, home: Home, call: Call, seconds: float) -> None:
        self._home = home
        self._loop = call.loop
        self._warned: object = None
        self.observe(call)
        self._arm(seconds)

    def observe(self, call: Call) -> None:
        """This call waits: it is the one to name."""
        # Weak: a call that is over must not live as long as the watch.
        self._call = weakref.ref(call)
        task = asyncio.current_task()
        self._task = None if task is None else weakref.ref(task)
        self._since = time.monotonic()
        self._is_told = False

    @property
    def is_over(self) -> bool:
        """Whether its loop has ended and the timer with it."""
        return self._loop.is_closed()

    @property
    def has_case(self) -> bool:
        """Whether the call that it observes still waits."""
        call = self._call()
        return call is not None and not call.has_begun

    @staticmethod
    def owns(handle: asyncio.TimerHandle) -> bool:
        """Whether a loop's timer is a stall watch's."""
        return isinstance(getattr(getattr(handle, "_callback", None), "__self__", None), StallWatch)

    def _arm(self, seconds: float) -> None:
        self._served = self._home.served
        self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        home, seconds = self._home, limit
        if seconds is None or not home.is_open or not (self.has_case or home.waiting):
            home.watch = None
            return
        running = home.running
        # Either the thread does not move on, or it does and has not come to the one that we observe: there is more
        # to do than it can, or frames above keep it from what frames below are to do.
        is_stuck = home.served == self._served and running is not None and self._warned is not running
        is_late = self.has_case and not self._is_told and time.monotonic() - self._since >= 0.99 * seconds
        call = self._call() if self.has_case else None
        task = None if self._task is None else self._task()
        if is_stuck and call is not None and task is not None and waits_for(home.thread, task):
            call.fail(DeadlockError(f"{CLASSIC}. {report(home, call, task, self._since)}"))
        elif is_stuck or (is_late and running is not None and self._warned is not running):
            self._warned = running
            self._is_told = True
            logger.warning("%s", report(home, call, task, self._since))
        self._arm(seconds)


#: What asgiref says, which programs look for.
CLASSIC = "Single thread executor already being used, would deadlock"


def report(home: Home, call: Call | None, task: asyncio.Task[Any] | None, since: float) -> str:
    """What holds a thread, and who waits for it. On the thread of the loop whose task waits."""
    text = f"Thread {home.thread.name!r} has been busy with {title(home.running)} for too long."
    if call is not None:
        seconds = time.monotonic() - since
        clock = time.strftime("%H:%M:%S", time.localtime(time.time() - seconds))
        text += f" {title(call)} has waited for it for {seconds:.1f} s, since {clock}, in {task!r}."
    behind = max(0, home.waiting - (call is not None))
    text += f" {behind} more {'waits' if behind == 1 else 'wait'}. The thread is at:\n{stack_of(home.thread)}"
    if call is not None and task is not None:
        text += f"The task that waits is at:\n{stack_of_task(task)}"
    return text


def refusal(executor: Any) -> str:
    """Why a call is refused that would run on the process's thread: what that does, and where the call comes from."""
    worker = getattr(executor, "_worker", None)
    text = CLASSIC
    if worker is not None and worker.home.running is not None:
        home: Home = worker.home
        text += f". Thread {home.thread.name!r} is busy with {title(home.running)}. It is at:\n{stack_of(home.thread)}"
    here = traceback.extract_stack()
    callers = [entry for entry in here if Path(entry.filename).parent != _OWN_FOLDER]
    return f"{text}\nThe task that would wait is at:\n{''.join(traceback.format_list(callers))}"


def title(work: Any) -> str:
    """What a piece of work is, in words."""
    func = getattr(work, "func", None)
    return repr(work) if func is None else f"<sync call of {name_of(func, work.args)}>"


def watch(home: Home, call: Call) -> None:
    """Note that `call` waits behind the work that `home` does now. On the loop's thread, in the task that waits."""
    current = home.watch
    if current is not None and not current.is_over:
        if not current.has_case:
            current.observe(call)
        return
    if limit is not None:
        home.watch = StallWatch(home, call, limit)


def stack_of(owner: threading.Thread) -> str:
    """Where a thread is, as a traceback would show it."""
    frame: Any = sys._current_frames().get(owner.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else "(not running)\n"


def waits_for(owner: threading.Thread, task: asyncio.Task[Any]) -> bool:
    """Whether a thread waits without a timeout for the future that `run_coroutine_threadsafe` gave it for the task.

    Then, as long as nobody cancels either, neither will go on: a task that waits for that thread waits for itself.
    """
    if not _can_look_into_threads:
        return False
    frame: Any = sys._current_frames().get(owner.ident or 0)
    for _ in range(4):  # in Condition.wait, and the lock's own frames if it is somebody's
        if frame is None:
            return False
        if frame.f_code in _WAITS:
            values = frame.f_locals
            return values.get("timeout") is None and task in _sources(values.get("self"))
        frame = frame.f_back
    return False


def _sources(future: Any) -> list[object]:
    """The asyncio futures that asyncio has chained to a future: in the callbacks that pass a cancellation on."""
    callbacks: list[Any] = list(getattr(future, "_done_callbacks", ()))
    return [cell.cell_contents for each in callbacks for cell in getattr(each, "__closure__", None) or ()]


_waits: Any = (Future.result, Future.exception)  # pyright: ignore[reportUnknownMemberType]  # generic methods
_WAITS = {method.__code__ for method in _waits}
#: Without the GIL the other thread might go on meanwhile.
_can_look_into_threads: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


def stack_of_task(task: asyncio.Task[Any]) -> str:
    """Where a task that is suspended is: the coroutines that wait for each other, outermost first."""
    lines: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = next((found for name in _FRAMES if (found := getattr(awaited, name, None)) is not None), None)
        if frame is not None and frame.f_globals.get("__package__") != __package__:
            lines += traceback.format_list(traceback.StackSummary.extract([(frame, frame.f_lineno)]))
        awaited = next(
            (found for name in _AWAITED if (found := getattr(awaited, name, None)) is not None), None
        )
    return "".join(lines) or "(not running)\n"


_OWN_FOLDER = Path(__file__).parent
_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
