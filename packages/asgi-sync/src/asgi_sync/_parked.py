"""A thread of somebody's pool, occupied for as long as something needs the same thread again and again."""

from __future__ import annotations

import threading
from concurrent.futures import thread as pool_threads
from typing import TYPE_CHECKING, Any

from ._frame import SubmittedWork
from ._home import Home, home_of_this_thread

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: Seconds between two looks at whether the executor is being shut down, which would otherwise wait for ever.
LOOK_AT_EXECUTOR = 0.25


class GoneError(RuntimeError):
    """The thread that was to go on with something has ended or does not wait for work any more."""


class ParkedThread:
    """Occupies a thread of `executor` and serves its queue of work until it is given back."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._given_back = False
        # Work that comes before the executor has a thread free waits here.
        self._early: list[SubmittedWork] = []
        self._lock = threading.Lock()
        self._home: Home | None = None
        job = executor.submit(self._serve)
        job.add_done_callback(lambda job: self._drop_early() if job.cancelled() else None)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """An executor's `submit`."""
        work = SubmittedWork(fn, args, kwargs)
        with self._lock:
            if self._home is None and not self._is_over:
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
    def _is_over(self) -> bool:
        shut_down = getattr(self._executor, "_shutdown", False) or getattr(pool_threads, "_shutdown", False)
        return self._given_back or bool(shut_down)

    def _serve(self) -> None:
        home = home_of_this_thread()
        home.enter()
        with self._lock:
            for work in self._early:
                home.submit(work)
            self._home = home
        while not self._is_over:
            home.serve_one(LOOK_AT_EXECUTOR)
        home.leave()

    def give_back(self) -> None:
        """Free the thread after all that is queued. From any thread; waits for nothing."""
        self._given_back = True
        if self._home is not None:
            self._home.wake()
