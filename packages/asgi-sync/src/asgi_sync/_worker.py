"""Threads that run sensitive code when no sync frame waits for it."""

from __future__ import annotations

import atexit
import itertools
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ._frame import SubmittedWork
from ._home import Home
from ._state import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

P = ParamSpec("P")
R = TypeVar("R")

_numbers = itertools.count(1)


def new_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """A thread for this package's own work: a daemon, joined at exit by whoever starts it, with an empty context."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise RuntimeError(
            "gevent has replaced this process's threads by greenlets, which all share the one thread that an event "
            "loop would block. Call gevent.monkey.patch_all(thread=False, queue=False), or run async code in another "
            "process."
        )
    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):
        # Otherwise it would keep the context of whoever happens to need it first, or its values, alive.
        options["context"] = Context()
    return threading.Thread(target=target, name=f"{name}-{next(_numbers)}", daemon=True, **options)


class _Order:
    """Work that is for the worker itself."""

    __slots__ = ("_act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def run(self, home: Home) -> None:
        self._act()

    def is_for(self, frame: object) -> bool:
        return False


class Worker:
    """A thread that serves its home, for one borrower at a time; between borrowers it is kept for a while."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.is_idle = False
        self._stopped = False
        self.thread = new_thread(self._serve, "asgi-sync-worker")
        self.home = Home(self.thread)
        self.home.enter()

    def _serve(self) -> None:
        home = self.home
        home.settle_in()
        while not self._stopped:
            # A borrowed worker waits without limit: it lasts as long as the context or process that it serves.
            if not home.serve_one(self._pool.idle_time if self.is_idle else None) and self._pool.retire(self):
                break
        home.leave()

    def give_back(self) -> None:
        """Free the worker for others, after all that is queued. From any thread, finalizers too; waits for nothing."""
        self.home.order(_Order(lambda: self._pool.take_back(self)))

    def stop(self) -> None:
        """End the thread after all that is queued."""
        self.home.order(_Order(self._stop))

    def _stop(self) -> None:
        self._stopped = True


class WorkerPool:
    """The process's workers. Each serves one borrower; idle ones end after `idle_time` seconds."""

    def __init__(self) -> None:
        self.idle_time = 10.0
        self.renew()

    def renew(self) -> None:
        """Start from nothing: after a fork, the parent's workers and whoever held its lock are not here."""
        self._generation = process.generation
        # A finalizer may need a worker on the very thread that holds one of these.
        self._lock = threading.RLock()
        #: Held while an executor borrows. One for all: it is rare, and each executor would need one otherwise.
        self.borrowing = threading.RLock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._has_exit_hook = False

    def borrow(self, *, fresh: bool = False) -> Worker:
        """A worker that nobody else has; `fresh` means on a thread that has served nobody before."""
        with self._lock:
            if self._idle and not fresh:
                worker = self._idle.pop()
                worker.is_idle = False
                return worker
            worker = Worker(self)
            self._all.add(worker)
            if not self._has_exit_hook:
                self._has_exit_hook = True
                atexit.register(self._stop_all)
        try:
            worker.thread.start()
        except BaseException:
            self._all.discard(worker)
            raise
        return worker

    def take_back(self, worker: Worker) -> None:
        with self._lock:
            worker.is_idle = True
            self._idle.append(worker)

    def retire(self, worker: Worker) -> bool:
        """Let an idle worker end, unless somebody has just borrowed it."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            self._all.discard(worker)
            return True

    def _stop_all(self) -> None:
        if self._generation is not process.generation:
            return
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            worker.stop()
        for worker in workers:
            # Without limit, as concurrent.futures has it: sync code that was begun is not cut off in the middle.
            if worker.thread is not threading.current_thread():
                worker.thread.join()


pool = WorkerPool()
process.on_fork(pool.renew)


class _WorkerFace:
    """What the executors that stand for a borrowed worker have in common."""

    _worker: Worker | None = None
    _closed = False

    def home(self, *, fresh: bool = False) -> Home:
        """The worker's queue of work, with a worker borrowed if there is none, or none in this process."""
        worker = self._worker
        if worker is None or not worker.home.is_open:
            worker = self._borrow(fresh)
        return worker.home

    def _borrow(self, fresh: bool) -> Worker:
        with pool.borrowing:
            worker = self._worker
            if worker is None or not worker.home.is_open:
                borrowed = pool.borrow(fresh=fresh)
                worker = self._worker
                if worker is None or not worker.home.is_open:
                    worker = self._worker = borrowed
                else:
                    borrowed.give_back()  # a finalizer was quicker
        return worker

    def _submit(self, fn: Callable[P, R], args: Any, kwargs: Any) -> Future[R]:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        work = SubmittedWork(fn, args, kwargs)
        while not self.home().submit(work):
            pass  # the worker ended in between: the next one will do
        return work.future

    def _shut_down(self, wait: bool) -> None:
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.stop()
        if wait and worker.thread is not threading.current_thread():
            worker.thread.join()  # without limit, as every executor's shutdown


class SensitiveExecutor(_WorkerFace, ThreadPoolExecutor):
    """The process's one thread for sensitive code: a ThreadPoolExecutor to whoever looks, a plain queue to us."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="asgi-sync")

    @property
    def _threads(self) -> AbstractSet[threading.Thread]:
        worker = self._worker
        return {worker.thread} if worker is not None and worker.home.is_open else set()

    @_threads.setter
    def _threads(self, threads: object) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        pass  # ThreadPoolExecutor's own bookkeeping, of threads that it never starts here

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._submit(fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        self._shut_down(wait)


class ContextExecutor(_WorkerFace, Executor):
    """The worker of one `ThreadSensitiveContext`."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._submit(fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shut_down(wait)

    def give_back(self) -> None:
        """The context is over: its worker serves others once it has done what is queued."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.give_back()

    def __del__(self) -> None:
        # A task that outlives its context makes one that nobody else knows of.
        self.give_back()


_OWN = (SensitiveExecutor, ContextExecutor)


def own_home(executor: Any) -> Home | None:
    """The queue behind an executor of this package, or `None` for a foreign one."""
    # A subclass may have a `submit` of its own, so it is foreign.
    if type(executor) not in _OWN or executor._closed:
        return None
    worker = executor._worker
    if worker is not None and worker.home.is_open:
        return worker.home  # type: ignore[no-any-return]  # an executor of ours
    return executor.home()  # type: ignore[no-any-return]  # an executor of ours
