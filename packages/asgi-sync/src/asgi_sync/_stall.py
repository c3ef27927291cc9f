"""Say so when sensitive work waits too long: what holds the thread, who waits."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import traceback
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

    from ._call import Call
    from ._home import Home

logger = logging.getLogger("asgi_sync")

#: Seconds that a sensitive call may wait for its thread before a warning, or `None` for no warning.
limit: float | None = 5.0


class StallWatch:
    """One timer per busy thread: looks, every `limit` seconds, whether the thread has moved on."""

    __slots__ = ("_call", "_home", "_loop", "_served", "_since", "_task", "_warned")

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
        if home.served == self._served and running is not None and self._warned is not running:
            self._warned = running
            self._warn(running)
        self._arm(seconds)

    def _warn(self, running: object) -> None:
        waits = ""
        if self.has_case:
            task = self._task and self._task()
            waits = (
                f" {self._call()!r} has waited for it for {time.monotonic() - self._since:.1f} s in {task!r}."
            )
        logger.warning(
            "Thread %r has been busy with %r for too long.%s %d more wait. It is at:\n%s",
            self._home.thread.name,
            running,
            waits,
            max(0, self._home.waiting - 1),
            stack_of(self._home.thread),
        )


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
