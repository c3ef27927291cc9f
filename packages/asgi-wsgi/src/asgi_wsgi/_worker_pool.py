"""A bounded pool of threads that does not count those that wait on a client."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from ._error_log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    # A job may return what is to be done once its thread is free for the next one.
    Job: TypeAlias = Callable[[], Callable[[], object] | None]

# Seconds after which a thread that has nothing to do ends.
IDLE_SECONDS = 20.0

# Threads that may wait on clients beside the ones that work. Beyond it a waiting thread keeps its place, so
# that the number of threads stays bounded whatever clients do.
LENT_MAX = 1000

# With a global interpreter lock, several threads that run short jobs mostly wait for each other: one that
# takes job after job does more. So a job stays queued while others of typically less than SHORT seconds come
# and go, but for no longer than PATIENCE seconds.
SHORT = 0.001
PATIENCE = 0.002
_ONE_AT_A_TIME: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


class WorkerPool:
    """At most ``workers`` threads run jobs at one time; further jobs queue.

    Jobs are started in the order in which they came. A thread is started when there is a job, a free place
    and no idle thread; of several idle ones the last that worked goes first. Threads are daemons: what a
    client that never comes back has left waiting does not hold up the end of the process. A forked child
    starts afresh.
    """

    def __init__(self, workers: int, name: str = "asgi-wsgi") -> None:
        self._workers = workers
        self._name = name
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Job, float]] = deque()
        self._typical = 0.0  # how long a job takes, in seconds: a running mean
        self._progress = 0.0  # when a job last began or ended
        self._idle: list[_Worker] = []
        self._returning: deque[threading.Lock] = deque()
        self._busy = 0
        self._lent = 0
        self._started = 0

    def submit(self, job: Job) -> bool:
        """Have a thread run ``job``, which must not raise, as soon as there is a place. From any thread.

        Return True if ``start_overdue`` is to be called after ``PATIENCE`` seconds.
        """
        if self._process != os.getpid():
            self._start_afresh()
        now = perf_counter()
        with self._lock:
            full = self._busy >= self._workers
            if full or (
                _ONE_AT_A_TIME and self._busy and self._typical < SHORT and now - self._progress < SHORT
            ):
                self._jobs.append((job, now))
                return not full
            self._progress = now
            self._busy += 1
            worker = self._idle.pop() if self._idle else None
        self._start(job, worker)
        return False

    def start_overdue(self) -> bool:
        """Start what has waited for its turn for too long. Return True if this is to be called again."""
        now = perf_counter()
        while True:
            with self._lock:
                if not self._jobs or self._busy >= self._workers:
                    return False  # who gives a place back takes the next job
                job, since = self._jobs[0]
                if now - since < PATIENCE:
                    return True
                self._jobs.popleft()
                self._busy += 1
                worker = self._idle.pop() if self._idle else None
            self._start(job, worker)

    def _start(self, job: Job, worker: _Worker | None) -> None:
        """Start a job whose place is taken already."""
        if worker is not None:
            worker.job = job
            worker.wake.release()
            return
        self._started += 1
        try:
            threading.Thread(
                target=_Worker(self, job).run, name=f"{self._name}-{self._started}", daemon=True
            ).start()
        except RuntimeError:  # can't start new thread: the job waits for the next one that ends
            with self._lock:
                self._busy -= 1
                if self._busy + self._lent == 0:
                    raise
                self._jobs.appendleft((job, 0.0))

    def next_job(self, worker: _Worker) -> Job | None:
        """Give back the place of a job that is done; return the next one, or None and be idle."""
        now = perf_counter()
        with self._lock:
            self._typical += (now - worker.since - self._typical) * 0.1
            self._progress = worker.since = now
            if not self._returning:
                if self._jobs:
                    return self._jobs.popleft()[0]
                self._busy -= 1
            else:
                self._returning.popleft().release()  # it takes over the place
            worker.job = None
            self._idle.append(worker)
        return None

    def retire(self, worker: _Worker) -> bool:
        """Let an idle thread end, unless it has just been given a job."""
        with self._lock:
            if worker.job is None and worker in self._idle:
                self._idle.remove(worker)
                return True
            return False

    @contextmanager
    def lent_place(self) -> Generator[None]:
        """Give up the place of this thread for the time of a with block, and wait for a place after it."""
        lent = self._lend()
        try:
            yield
        finally:
            if lent:
                self._take_back()

    def _lend(self) -> bool:
        job: Job | None = None
        worker: _Worker | None = None
        with self._lock:
            if self._lent >= LENT_MAX:
                return False
            self._lent += 1
            if self._returning:
                self._returning.popleft().release()
                return True
            if self._jobs:
                job = self._jobs.popleft()[0]
                worker = self._idle.pop() if self._idle else None
            else:
                self._busy -= 1
        if job is not None:
            self._start(job, worker)
        return True

    def _take_back(self) -> None:
        with self._lock:
            self._lent -= 1
            if self._busy < self._workers:
                self._busy += 1
                return
            place = threading.Lock()
            place.acquire()
            self._returning.append(place)
        # Ends when one of the running jobs ends, or waits in its turn: returning threads go before new jobs.
        place.acquire()

    def end_idle_threads(self) -> None:
        """Let the threads that have nothing to do end now. The pool can be used again after that."""
        if self._process != os.getpid():
            self._start_afresh()
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.wake.release()


class _Worker:
    """A thread of the pool."""

    __slots__ = ("job", "pool", "since", "wake")

    def __init__(self, pool: WorkerPool, job: Job) -> None:
        self.pool = pool
        self.job: Job | None = job
        self.wake = threading.Lock()
        self.wake.acquire()
        self.since = 0.0  # when the current job began

    def run(self) -> None:
        pool = self.pool
        job = self.job
        while True:
            self.since = perf_counter()
            while job is not None:
                after: Callable[[], object] | None = None
                try:
                    after = job()
                except BaseException:
                    log.critical("a job of asgi-wsgi's thread pool failed", exc_info=True)
                job = None  # a waiting thread keeps nothing of its last request alive
                job = pool.next_job(self)
                if after is not None:
                    # Not before: who is told of the end may at once have another job, for which this thread
                    # is there.
                    after()
                    after = None
            while not self.wake.acquire(timeout=IDLE_SECONDS):
                if pool.retire(self):
                    return
            job = self.job
            if job is None:
                return
