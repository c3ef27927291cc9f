from __future__ import annotations

import gc
import os
import threading
import time

import pytest
from wsgi_driver import PATIENCE, STRESS, Signal, eventually_without_loop

from asgi_wsgi import _worker_pool
from asgi_wsgi._worker_pool import WorkerPool

ROUNDS = 300 if STRESS else 20


def threads_of(pool):
    return [thread for thread in threading.enumerate() if thread.name.startswith(pool._name + "-")]


def start_all(pool):
    """Do what the loop does for the jobs that are kept in the queue for a moment."""
    while pool.start_overdue():
        time.sleep(0.001)


def test_jobs_start_in_order_and_threads_are_bounded():
    pool = WorkerPool(1, "order")
    done = Signal()
    ran = []
    for number in range(50):
        pool.submit(lambda number=number: ran.append(number))
    pool.submit(done.set)
    done.wait()
    assert ran == list(range(50))
    assert len(threads_of(pool)) == 1


def test_an_idle_thread_is_used_again():
    pool = WorkerPool(5, "again")
    names = set()
    for _ in range(20):
        done = Signal()

        def job(done=done):
            names.add(threading.current_thread().name)
            done.set()

        pool.submit(job)
        done.wait()
        eventually_without_loop(lambda: pool._idle)
    assert names == {"again-1"}


def test_idle_threads_end(monkeypatch):
    monkeypatch.setattr(_worker_pool, "IDLE_SECONDS", 0.01)
    pool = WorkerPool(5, "ending")
    meeting = threading.Barrier(6, timeout=PATIENCE)
    for _ in range(5):
        pool.submit(lambda: (meeting.wait(), None)[1])
        start_all(pool)
    meeting.wait()
    eventually_without_loop(lambda: not threads_of(pool))
    done = Signal()
    pool.submit(done.set)
    done.wait()


def test_idle_threads_can_be_told_to_end():
    pool = WorkerPool(5, "told")
    meeting = threading.Barrier(6, timeout=PATIENCE)
    for _ in range(5):
        pool.submit(lambda: (meeting.wait(), None)[1])
        start_all(pool)
    meeting.wait()
    eventually_without_loop(lambda: (pool.end_idle_threads(), not threads_of(pool))[1])


def test_a_lent_place_lets_another_job_run():
    pool = WorkerPool(1, "lent")
    go_on, second, done = Signal(), Signal(), Signal()

    def waits():
        with pool.lent_place():
            go_on.wait()
        done.set()

    pool.submit(waits)
    pool.submit(second.set)
    second.wait()
    assert not done.is_set()
    go_on.set()
    done.wait()


def test_who_comes_back_waits_for_a_place_and_goes_before_new_jobs():
    pool = WorkerPool(1, "back")
    lent, go_on, busy, leave = Signal(), Signal(), Signal(), Signal()
    order = []
    done = Signal()

    def waits():
        with pool.lent_place():
            lent.set()
            go_on.wait()
        order.append("returned")

    def occupies():
        busy.set()
        leave.wait()
        order.append("occupied")

    pool.submit(waits)
    lent.wait()
    pool.submit(occupies)
    busy.wait()
    pool.submit(lambda: order.append("new"))
    pool.submit(done.set)
    go_on.set()
    eventually_without_loop(lambda: pool._returning)
    assert order == []
    leave.set()
    done.wait()
    assert order == ["occupied", "returned", "new"]


def test_running_jobs_never_exceed_the_places():
    for _ in range(ROUNDS):
        pool = WorkerPool(3, "places")
        lock = threading.Lock()
        running = peak = ended = 0
        done = Signal()

        def job(pool=pool, lock=lock, done=done):
            nonlocal running, peak, ended
            for _ in range(3):
                with lock:
                    running += 1
                    peak = max(peak, running)
                with lock:
                    running -= 1
                with pool.lent_place():
                    pass
            with lock:
                ended += 1
                if ended == 40:
                    done.set()

        for _ in range(40):
            pool.submit(job)
        done.wait()
        assert peak <= 3
        eventually_without_loop(lambda pool=pool: not pool._busy)
        assert (pool._lent, len(pool._jobs), len(pool._returning)) == (0, 0, 0)
        pool.end_idle_threads()


def test_a_job_that_fails_is_logged_and_costs_no_thread(caplog):
    pool = WorkerPool(1, "failing")
    done = Signal()

    def fails():
        raise SystemExit("in a job")

    pool.submit(fails)
    pool.submit(done.set)
    done.wait()
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_idle_threads_keep_nothing_alive():
    import weakref

    class Thing:
        def __call__(self):
            done.set()

    done = Signal()
    pool = WorkerPool(1, "keeping")
    thing = Thing()
    kept = weakref.ref(thing)
    pool.submit(thing)
    done.wait()
    del thing
    eventually_without_loop(lambda: (gc.collect(), kept() is None)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_afresh():
    pool = WorkerPool(1, "forked")
    held, go_on = Signal(), Signal()

    def occupies():
        held.set()
        go_on.wait()

    pool.submit(occupies)
    held.wait()
    child = os.fork()
    if child == 0:
        done = Signal()
        pool.submit(done.set)
        os._exit(0 if threading.Event.wait(done, 10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()


def test_a_thread_that_cannot_be_started(monkeypatch):
    pool = WorkerPool(2, "unstartable")
    held, go_on, done = Signal(), Signal(), Signal()

    def occupies():
        held.set()
        go_on.wait()

    pool.submit(occupies)
    held.wait()

    def start(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        pool.submit(done.set)  # queues behind the one that runs
        go_on.set()
        done.wait()
        with pytest.raises(RuntimeError, match="can't start"):
            WorkerPool(1).submit(done.set)


def test_a_long_job_does_not_hold_up_those_behind_it():
    pool = WorkerPool(3, "long")
    go_on = Signal()
    for _ in range(20):  # the pool gets to know short jobs
        done = Signal()
        pool.submit(done.set)
        done.wait()
    running = Signal()
    pool.submit(lambda: (running.set(), go_on.wait(), None)[2])
    start_all(pool)
    running.wait()
    done = Signal()
    if pool.submit(done.set):
        start_all(pool)
    done.wait()
    go_on.set()


@pytest.mark.skipif(not _worker_pool._ONE_AT_A_TIME, reason="threads run at the same time")
def test_short_jobs_share_few_threads():
    pool = WorkerPool(40, "short")
    names = set()
    left = 500
    done = Signal()

    def job():
        nonlocal left
        names.add(threading.current_thread().name)
        left -= 1
        if not left:
            done.set()

    for _ in range(500):
        pool.submit(job)
    start_all(pool)
    done.wait()
    assert len(names) < 40
