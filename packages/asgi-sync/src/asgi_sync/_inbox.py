"""How other threads tell an event loop what to do next."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._state import thread

if TYPE_CHECKING:
    from collections.abc import Callable

#: So many times `call_soon_threadsafe` wakes a loop before it gets a descriptor of its own for that.
ARM_AFTER = 8
# asyncio's own way is a pair of sockets, which costs a handle, a send and two receives, the second of which fails;
# with an eventfd it is one write and one read, a third less for a whole crossing. Only Linux has them.
_CAN_ARM = hasattr(os, "eventfd")


class Inbox:
    """What a loop is to do and has not heard of yet.

    Waking a loop costs a system call and, under load, a switch of threads. A worker that ends many calls in a row
    therefore wakes the loop once, and the loop does all that is there.
    """

    __slots__ = ("_fd", "_jobs", "_loop", "_wakes", "is_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weak, because a thread remembers its last inbox.
        self._loop = weakref.ref(loop)
        self._jobs: deque[Callable[[], object]] = deque()
        #: Whether the loop has been told that there is something, and has not come for it yet.
        self.is_woken: bool = False
        self._wakes = 0
        self._fd: int | None = None

    def post(self, loop: asyncio.AbstractEventLoop, job: Callable[[], object]) -> None:
        """Have `job` called in the loop, which is the inbox's. From any thread. `RuntimeError` if it is closed."""
        # Order matters, without a lock: first the job, then the look at the flag; `_do_all` first lowers the flag, then
        # takes the jobs. One of both sees the other's work.
        self._jobs.append(job)
        if self.is_woken:
            return
        self.is_woken = True
        fd = self._fd
        if fd is not None and not loop.is_closed():
            _wake(fd, 1)
            return
        try:
            loop.call_soon_threadsafe(self._hear)
        except RuntimeError:
            self.is_woken = False
            self._jobs.clear()
            raise

    @property
    def is_armed(self) -> bool:
        """Whether the loop watches a descriptor for it."""
        return self._fd is not None

    # On the loop's thread

    def _hear(self) -> None:
        self._do_all()
        self._wakes += 1
        if self._wakes == ARM_AFTER and _CAN_ARM:
            self._arm()

    def _do_all(self) -> None:
        self.is_woken = False
        jobs = self._jobs
        try:
            # Those that are there now: what they set off may bring more, and the loop has others to serve. Whoever
            # posts one of those wakes the loop again.
            for _ in range(len(jobs)):
                jobs.popleft()()
        except BaseException:  # Ctrl-C in the midst, or a task that ends the program
            asyncio.get_running_loop().call_soon(self._do_all)
            raise

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        if type(loop) is not asyncio.SelectorEventLoop:
            return  # who knows how it polls
        try:
            fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:  # no more descriptors: it works without
            return
        # In an empty context: the loop would keep alive what the running one holds.
        Context().run(loop.add_reader, fd, self._heed)
        self._fd = fd

    def _heed(self) -> None:
        assert self._fd is not None
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass  # the child of a fork has read it, which has the same descriptor
        self._do_all()

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        # Not when the loop is closed: a thread may be about to write to it, and the number may be somebody else's then.
        if self._fd is not None:
            _close(self._fd)


_wake: Any = getattr(os, "eventfd_write", None)


def inbox_of(loop: asyncio.AbstractEventLoop) -> Inbox:
    """The inbox of the loop that runs in this thread."""
    inbox = thread.inbox
    if inbox is None or inbox._loop() is not loop:
        inbox = thread.inbox = Inbox(loop)
    return inbox
