"""The one queue of work of a thread, and how the thread serves it.

Every frame that waits on a thread, and the main loop of a worker at the bottom of it, takes work from the same queue.
So work never waits behind a thread that sits idle, whichever frame it was meant for (asgiref issues 249, 282, 493).
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from ._state import process, public_thread, thread
from ._work_queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._call import Call
    from ._stall import StallWatch


#: So many frames that wait on one thread do any work that comes; those above only their own. Each may be a request
#: with its middleware, and Python's stack is limited to a thousand calls.
SHALLOW = 8
#: Seconds after which a frame above does other work as well, if nothing else happens, up to this many frames.
PATIENCE = 0.05
DEEP = 24


class Work(Protocol):
    """What a home's queue holds."""

    def run(self, home: Home) -> None:
        """Do it, on that home's thread. Raises nothing: the outcome goes to whoever waits for it."""

    def is_for(self, frame: object) -> bool:
        """Whether this waiting frame's own coroutine asks for it."""
        ...


class Home:
    """A thread's queue of work, open as long as something on that thread serves it."""

    __slots__ = (
        "__weakref__",
        "_deferred",
        "_frames",
        "_lock",
        "_queue",
        "_servers",
        "call",
        "handled",
        "is_open",
        "running",
        "served",
        "thread",
        "values",
        "watch",
    )
    #: What `SyncToAsync.threadlocal` holds on the thread.
    values: dict[str, Any]

    def __init__(self, owner: threading.Thread) -> None:
        self.thread: threading.Thread = owner
        #: Whether work that is submitted will be done.
        self.is_open: bool = False
        #: The sync call that the thread is running for a coroutine, if any.
        self.call: Call | None = None
        #: The work that the thread is doing, outermost first: a waiting frame below may do other work above.
        self.running: Work | None = None
        #: What the innermost waiting frame's code was handling when it began to wait.
        self.handled: BaseException | None = None
        #: How much work has been started, for whoever watches whether the thread moves on.
        self.served: int = 0
        self.watch: StallWatch | None = None
        self._queue: WorkQueue[Work | None] = WorkQueue()
        #: Work that was found too deep in the stack, for the frames further down.
        self._deferred: deque[Work] = deque()
        #: How many frames wait on the thread, one upon the other.
        self._frames = 0
        # A finalizer may queue work here on the very thread that holds it.
        self._lock = threading.RLock()
        self._servers = 0
        _homes.add(self)

    def settle_in(self) -> None:
        """To be called on the home's thread, once, before it serves."""
        thread.home = self
        self.values = public_thread.__dict__

    @property
    def is_here(self) -> bool:
        """Whether the running thread is the home's thread."""
        return thread.home is self

    @property
    def waiting(self) -> int:
        """About how much work waits."""
        return self._queue.qsize() + len(self._deferred)

    def submit(self, work: Work, in_hurry: bool = True) -> bool:
        """Queue the work; `False` if nobody serves this queue (any more). From any thread."""
        with self._lock:
            # Under the lock that `leave` takes: what was queued is seen by whoever leaves last.
            if not self.is_open:
                return False
            self._queue.put(work, in_hurry)
        return True

    def order(self, work: Work) -> None:
        """Queue the work without a look: for whoever knows that the home is open. From any thread, finalizers too."""
        self._queue.put(work)

    def wake(self) -> None:
        """Make the frame that serves look at its condition again. From any thread."""
        self._queue.put(None)

    # Only the home's own thread serves, so the count needs no lock.

    def enter(self) -> None:
        """The running thread begins to serve."""
        self._servers += 1
        if not self.is_open:
            with self._lock:
                self.is_open = True

    def leave(self) -> None:
        """The running thread ends serving. The last one to leave does all that is still queued."""
        self._servers -= 1
        if self._servers:
            return
        with self._lock:
            self.is_open = False
        while self.waiting:
            self.serve_one(0)

    def serve_one(self, timeout: float | None) -> bool:
        """Do the next work; `False` if there was none within `timeout` seconds.

        Returns also when woken with nothing to do.
        """
        if self._deferred:
            self._do(self._deferred.popleft())
            return True
        try:
            work = self._queue.get(timeout)
        except Empty:
            return False
        if work is not None:
            self._do(work)
        return True

    def serve_until(
        self, is_done: Callable[[], bool], timeout: float | None = None, frame: object = None
    ) -> bool:
        """Serve until `is_done()`, looked at after each work and each `wake`; `False` if idle for `timeout` seconds.

        `frame` is the one that waits.
        """
        # The thread does nothing meanwhile, whatever it was doing when it began to wait.
        outer, self.running = self.running, None
        outer_handled, self.handled = self.handled, sys.exception()
        self._frames += 1
        try:
            serve = self.serve_one if self._frames <= SHALLOW else partial(self._serve_frame, frame)
            while not is_done():
                if not serve(timeout):
                    return False
            return True
        finally:
            self._frames -= 1
            self.running = outer
            self.handled = outer_handled

    def _serve_frame(self, frame: object, timeout: float | None) -> bool:
        """Like `serve_one`, for a frame high up: do what its own coroutine asks for, leave the rest to lower frames.

        Each piece of other work could wait in a frame of its own, on top of this one, without end.
        """
        for own in self._deferred:
            if own.is_for(frame):  # put off by a frame above, which had none of it to do
                self._deferred.remove(own)
                self._do(own)
                return True
        # But a coroutine may wait for something that only other work brings about: after a while, that is done too.
        relents = bool(self._deferred) and self._frames <= DEEP
        try:
            work = self._queue.get(PATIENCE if relents else timeout)
        except Empty:
            if not relents:
                return False
            self._do(self._deferred.popleft())
            return True
        if work is not None:
            if work.is_for(frame):
                self._do(work)
            else:
                self._deferred.append(work)
        return True

    def _do(self, work: Work | None) -> None:
        if work is None:
            return
        outer = self.running
        self.running = work
        self.served += 1
        try:
            work.run(self)
        finally:
            self.running = outer


def home_of_this_thread() -> Home:
    home = thread.home
    if home is None:
        home = Home(threading.current_thread())
        home.settle_in()
    return home


def exception_to_pass_on() -> BaseException | None:
    """What the running code is handling.

    On a thread that waits further down its stack, Python also shows what that frame is handling: to work for others,
    in which nobody raised it, and at the same time to each of them.
    """
    exception = sys.exception()
    if exception is not None:
        home = thread.home
        if home is not None and home.handled is exception:
            call = home.call
            return None if call is None else call.exception
    return exception


#: All homes, for the child of a fork, where nobody serves those that the parent had.
_homes: WeakSet[Home] = WeakSet()


def _close_inherited() -> None:
    for home in list(_homes):
        home.is_open = False
    _homes.clear()


process.on_fork(_close_inherited)
