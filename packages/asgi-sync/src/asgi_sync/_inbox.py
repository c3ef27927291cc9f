"""How a worker thread tells an event loop that a call has ended."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from typing import TYPE_CHECKING

from ._state import thread

if TYPE_CHECKING:
    import asyncio

    from ._call import Call

logger = logging.getLogger("asgi_sync")


class Inbox:
    """Calls that have ended and that a loop has not heard of yet.

    Waking a loop costs a system call and, under load, a switch of threads. A worker that ends many calls in a row
    therefore wakes the loop once, and the loop takes all that is there.
    """

    __slots__ = ("_ended", "_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weak, because a thread remembers its last inbox.
        self._loop = weakref.ref(loop)
        self._ended: deque[Call] = deque()
        self._woken = False

    def post(self, call: Call) -> None:
        """Hand over a call that has ended. From any thread."""
        # Order matters, without a lock: first the call, then the look at the flag; `_empty` first lowers the flag,
        # then takes the calls. One of both sees the other's work.
        self._ended.append(call)
        if self._woken:
            return
        self._woken = True
        try:
            call.loop.call_soon_threadsafe(self._empty)
        except RuntimeError:
            # The loop is closed: nobody is waiting any more.
            self._woken = False
            self._ended.clear()
            if call.error is not None:
                logger.error("%r failed after its event loop was closed", call, exc_info=call.error)

    def _empty(self) -> None:
        self._woken = False
        ended = self._ended
        while ended:
            ended.popleft().settle()


def inbox_of(loop: asyncio.AbstractEventLoop) -> Inbox:
    """The inbox of the loop that runs in this thread."""
    inbox = thread.inbox
    if inbox is None or inbox._loop() is not loop:
        inbox = thread.inbox = Inbox(loop)
    return inbox
