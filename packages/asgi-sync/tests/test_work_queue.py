"""The queue of one thread: nothing in it is overlooked, however the thread sleeps."""

import os
import select
import threading
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest

from asgi_sync import _work_queue
from asgi_sync._work_queue import ARM_AFTER, WorkQueue

InThread = Callable[..., Any]
RunProgram = Callable[..., str]

STRESS = bool(os.environ.get("STRESS"))
PATIENCE = 60

needs_eventfd = pytest.mark.skipif(
    not _work_queue._CAN_ARM, reason="only with eventfds, and worth it only with a GIL"
)


def slept(queue: "WorkQueue[Any]") -> "WorkQueue[Any]":
    """The queue, after its thread has slept as often as it takes to give it a descriptor."""
    for _ in range(ARM_AFTER):
        with pytest.raises(Empty):
            queue.get(0)
    return queue


@pytest.fixture(params=["plain", pytest.param("armed", marks=needs_eventfd)])
def queue(request: pytest.FixtureRequest) -> "WorkQueue[Any]":
    queue: WorkQueue[Any] = WorkQueue()
    if request.param == "armed":
        slept(queue)
        assert queue._epoll is not None
    return queue


def test_what_is_put_in_comes_out_in_order(queue: "WorkQueue[Any]") -> None:
    for item in range(3):
        queue.put(item)
    assert queue.qsize() == 3
    assert [queue.get(None) for _ in range(3)] == [0, 1, 2]
    assert queue.empty()


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_an_empty_queue_is_waited_for_no_longer_than_asked(queue: "WorkQueue[Any]", timeout: float) -> None:
    begin = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout)
    assert time.monotonic() - begin >= timeout * 0.9  # clocks of different resolution
    queue.put(1)
    assert queue.get(timeout) == 1


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_two_threads_wake_each_other(in_thread: InThread, timeout: float | None) -> None:
    """Each time the other one is about to sleep, or sleeps, either way: a wake-up that is lost would end this."""
    there: WorkQueue[int] = WorkQueue()
    back: WorkQueue[int] = WorkQueue()
    count = 200_000 if STRESS else 5_000

    def answer() -> None:
        for _ in range(count):
            number = there.get(timeout)
            back.put(number + 1, number % 3 == 0)

    def body() -> int:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        number = 0
        for _ in range(count):
            there.put(number, number % 5 == 0)
            number = back.get(timeout)
        thread.join(PATIENCE)
        return number

    assert in_thread(body) == count


def test_many_threads_wake_one(in_thread: InThread) -> None:
    queue: WorkQueue[tuple[int, int]] = WorkQueue()
    count = 50_000 if STRESS else 1_000

    def fill(number: int) -> None:
        for item in range(count):
            queue.put((number, item))

    def body() -> list[list[int]]:
        threads = [threading.Thread(target=fill, args=[number], daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        taken: list[list[int]] = [[] for _ in threads]
        for _ in range(len(threads) * count):
            number, item = queue.get(None)
            taken[number].append(item)
        return taken

    assert in_thread(body) == [list(range(count))] * 4


@needs_eventfd
def test_one_that_was_woken_for_nothing_sleeps_on(in_thread: InThread) -> None:
    queue = slept(WorkQueue())
    queue._is_asleep = True  # as somebody sees it who is late
    queue.put("early")
    assert queue.get(None) == "early"
    asleep = threading.Event()

    def body() -> Any:
        asleep.set()
        return queue.get(PATIENCE)

    def put() -> None:
        asleep.wait(PATIENCE)
        queue.put("late")

    threading.Thread(target=put, daemon=True).start()
    assert in_thread(body) == "late"


@needs_eventfd
@pytest.mark.parametrize("lacking", ["eventfd", "epoll", "room"])
def test_it_works_without_a_descriptor(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    if lacking == "eventfd":
        monkeypatch.setattr(os, "eventfd", refuse)
    elif lacking == "epoll":
        monkeypatch.delattr(select, "epoll")  # as gevent does
    else:
        monkeypatch.setattr(_work_queue, "ARM_AT_MOST", 0)
    queue = slept(WorkQueue())
    assert queue._epoll is None
    queue.put(1)
    assert queue.get(None) == 1


#: Makes a queue that has a descriptor.
SLEPT = """
import os, threading
from queue import Empty
from asgi_sync._work_queue import ARM_AFTER, WorkQueue

def slept():
    queue = WorkQueue()
    for _ in range(ARM_AFTER):
        try:
            queue.get(0)
        except Empty:
            pass
    assert queue._epoll is not None
    return queue
"""


@needs_eventfd
def test_its_descriptors_end_with_it(run_program: RunProgram) -> None:
    program = """
def descriptors():
    return len(os.listdir("/proc/self/fd"))

before = descriptors()
queue = slept()
there = descriptors()
del queue
print(there - before, descriptors() - before)
"""
    assert run_program(SLEPT + program) == "2 0\n"


@needs_eventfd
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_takes_nothing_from_its_parent(run_program: RunProgram) -> None:
    """It goes on with the queue that it has inherited; what wakes the parent reaches the parent."""
    program = """
queue = slept()
pid = os.fork()
if pid == 0:
    threading.Timer(0.01, queue.put, ["the child's"]).start()
    os._exit(queue.get(30) != "the child's" or queue._epoll is not None)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
threading.Timer(0.01, queue.put, ["the parent's"]).start()
print(queue.get(30))
"""
    output = run_program(SLEPT + program, options=("-W", "ignore::DeprecationWarning"))
    assert output == "the parent's\n"
