"""A thread of somebody's pool, occupied for as long as something needs the same thread again and again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pool_threads
from typing import TYPE_CHECKING, Any

from ._frame import SubmittedWork
from ._home import Home, home_of_this_thread
from ._state import process

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: Seconds between two looks at whether the executor is being shut down, which would otherwise wait for ever.
LOOK_AT_EXECUTOR = 0.25


class GoneError(RuntimeError):
    """The thread that was to go on with something has ended or does not wait for work any more."""


class ParkedThread:
    """Occupies a thread of `executor` and serves its queue of work until all who use it have given it back."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.users = 0
        self._given_back = False
        # Work that comes before the executor has a thread free waits here.
        self._early: list[SubmittedWork] = []
        # A finalizer may submit as well, on the very thread that holds it.
        self._lock = threading.RLock()
        self._home: Home | None = None
        job = executor.submit(self._serve)
        job.add_done_callback(lambda job: self._drop_early() if job.cancelled() else None)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """An executor's `submit`."""
        work = SubmittedWork(fn, args, kwargs)
        with self._lock:
            if self._home is None and not self.is_over:
                self._early.append(work)
                return work.future
        if self._home is None or not self._home.submit(work):
            raise GoneError("cannot schedule new futures after shutdown")
        return work.future

    def _drop_early(self) -> None:
        """The executor was shut down before it had a thread free."""
        with self._lock:
            self._given_back = True
        for work in self._early:
            work.future.cancel()

    @property
    def is_over(self) -> bool:
        shut_down = getattr(self.executor, "_shutdown", False) or getattr(pool_threads, "_shutdown", False)
        return self._given_back or bool(shut_down)

    def _serve(self) -> None:
        home = home_of_this_thread()
        home.enter()
        with self._lock:
            while self._early:
                home.submit(self._early.pop(0))
            self._home = home
        while not self.is_over:
            home.serve_one(LOOK_AT_EXECUTOR)
        home.leave()

    def give_back(self) -> None:
        """One of the users needs it no more: the last one frees the thread, after all that is queued.

        From any thread; waits for nothing.
        """
        if _parking.leave(self):
            self._end()

    def _end(self) -> None:
        self._given_back = True
        if self._home is not None:
            self._home.wake()


class _Parking:
    """The threads that are occupied, by executor."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start from nothing, as in a forked child, where none of the threads is."""
        # Finalizers give back, and may run while this is held.
        self._lock = threading.RLock()
        self._threads: dict[int, list[ParkedThread]] = {}

    def enter(self, executor: Executor, limit: int) -> ParkedThread:
        with self._lock:
            threads = [each for each in self._threads.get(id(executor), ()) if not each.is_over]
            if len(threads) < limit:
                threads.append(ParkedThread(executor))
            parked = min(threads, key=lambda each: each.users)
            parked.users += 1
            self._threads[id(executor)] = threads
            return parked

    def leave(self, parked: ParkedThread) -> bool:
        """Whether it was the last user."""
        with self._lock:
            parked.users -= 1
            if parked.users:
                return False
            threads = [each for each in self._threads.get(id(parked.executor), ()) if each is not parked]
            if threads:
                self._threads[id(parked.executor)] = threads
            else:
                self._threads.pop(id(parked.executor), None)
            return True


_parking = _Parking()
process.on_fork(_parking.renew)


def park(executor: Executor) -> ParkedThread | None:
    """Occupy a thread of the executor, or share one; `None` if the executor has only one, or does not tell.

    One of its threads always stays free: what waits for another call in the executor would starve otherwise.
    """
    size = getattr(executor, "_max_workers", None)
    if not isinstance(size, int) or size < 2 or not isinstance(executor, ThreadPoolExecutor):
        return None
    return _parking.enter(executor, size - 1)
