"""Async iterators in sync code: one task on one loop, lazily, closed once."""

import asyncio
import functools
import gc
import inspect
import os
import sys
import threading
import traceback
from contextlib import closing
from contextvars import ContextVar
from itertools import islice
from random import Random

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    AsyncToSync,
    _task_lane,
    _waiting,
    async_to_sync,
    async_to_sync_iterator,
    start_blocking_portal,
    sync_to_async,
)

variable: ContextVar[str] = ContextVar("variable")
PATIENCE = 40


class Recorder:
    """An async generator function that notes what it does, and in which task."""

    def __init__(self):
        self.tasks = set()
        self.loops = set()
        self.made = []
        self.closed = 0
        self.was_closed = threading.Event()

    async def generate(self, count=5):
        try:
            for number in range(count):
                self.tasks.add(asyncio.current_task())
                self.loops.add(asyncio.get_running_loop())
                await asyncio.sleep(0)
                self.made.append(number)
                yield number
        finally:
            self.tasks.add(asyncio.current_task())
            await asyncio.sleep(0)
            self.closed += 1
            self.was_closed.set()


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture(params=[0, 2], ids=["lazy", "ahead"])
def options(request):
    return {"max_buffer_size": request.param}


@pytest.fixture(params=["own loop", "parent loop", "single thread context", "portal"])
def place(request, in_thread):
    """Runs a sync function in each of the places where sync code runs."""

    def run(function):
        if request.param == "own loop":
            in_thread(function)
        elif request.param == "parent loop":
            in_thread(sync_to_async(function)())
        elif request.param == "single thread context":

            def inside():
                with AsyncSingleThreadContext():
                    function()

            in_thread(inside)
        else:
            with start_blocking_portal() as portal:

                async def through():
                    await sync_to_async(function)()

                in_thread(portal.call, through)

    return run


def test_its_whole_life_is_one_task(recorder, options, place):
    place(lambda: recorder.made.append(list(async_to_sync(recorder.generate, **options)())))
    assert recorder.made[-1] == [0, 1, 2, 3, 4]
    assert len(recorder.tasks) == 1
    assert recorder.closed == 1


def test_in_sync_code_that_a_loop_waits_for_it_is_that_loop(recorder, in_thread):
    async def main():
        await sync_to_async(lambda: list(async_to_sync(recorder.generate)()))()
        assert recorder.loops == {asyncio.get_running_loop()}

    in_thread(main())


def test_in_a_single_thread_context_it_is_its_loop(recorder, in_thread):
    async def loop():
        return asyncio.get_running_loop()

    def sync():
        with AsyncSingleThreadContext():
            items = async_to_sync(recorder.generate)()
            next(items)
            assert recorder.loops == {async_to_sync(loop)()}
            items.close()

    in_thread(sync)


@pytest.mark.parametrize("size", [0, 3])
def test_sensitive_code_in_it_runs_on_the_consumers_thread(size, place):
    threads = set()

    async def generate():
        for _ in range(10):
            threads.add(await sync_to_async(threading.current_thread)())
            yield threading.current_thread()

    def sync():
        for thread in async_to_sync(generate, max_buffer_size=size)():
            assert thread is not threading.current_thread()
        assert threads == {threading.current_thread()}

    place(sync)


def test_sensitive_code_in_its_cleanup_too(options, place):
    threads = []

    async def generate():
        try:
            while True:
                yield
        finally:
            threads.append(await sync_to_async(threading.current_thread)())

    def sync():
        with closing(async_to_sync(generate, **options)()) as items:
            next(items)
        assert threads == [threading.current_thread()]

    place(sync)


def test_nothing_runs_ahead_and_nothing_before_it_is_asked_for(recorder):
    items = async_to_sync(recorder.generate)()
    assert recorder.made == []
    for number in range(3):
        assert next(items) == number
        assert recorder.made == list(range(number + 1))
    items.close()
    async_to_sync(recorder.generate)().close()
    assert recorder.made == [0, 1, 2]
    assert recorder.closed == 1


def test_it_runs_ahead_by_the_size_of_the_buffer_at_most():
    made = threading.Semaphore(0)
    consumed = [0]
    ahead = []

    async def generate():
        for number in range(100):
            await asyncio.sleep(0)
            ahead.append(number + 1 - consumed[0])
            made.release()
            yield number

    items = async_to_sync(generate, max_buffer_size=8)()
    for number in range(100):
        assert next(items) == number
        consumed[0] += 1
        if number == 0:
            for _ in range(8):
                assert made.acquire(timeout=PATIENCE)
    assert list(items) == []
    assert 1 < max(ahead) <= 8 + 1  # the one that was handed out but not counted yet


@pytest.mark.parametrize("way", ["close", "break", "exception", "collected", "other thread"])
def test_leaving_early_closes_once_in_the_task(recorder, options, way, place, in_thread):
    def sync():
        items = async_to_sync(recorder.generate, **options)(100)
        if way == "close":
            assert next(items) == 0
            items.close()
            items.close()
            assert recorder.closed == 1
        elif way == "break":
            with closing(items):
                for _ in items:
                    break
            assert recorder.closed == 1
        elif way == "exception":
            with pytest.raises(ZeroDivisionError):
                with closing(items):
                    for _ in items:
                        raise ZeroDivisionError
        elif way == "collected":
            next(items)
            del items
            gc.collect()
        else:
            next(items)
            in_thread(items.close)
        assert recorder.was_closed.wait(PATIENCE)

    place(sync)
    gc.collect()
    assert recorder.closed == 1
    assert len(recorder.tasks) == 1


def test_the_end_of_the_loop_closes_it(recorder, options, in_thread):
    kept = []

    async def main():
        def sync():
            items = async_to_sync(recorder.generate, **options)(100)
            assert next(items) == 0
            kept.append(items)

        await sync_to_async(sync)()

    in_thread(main())
    assert recorder.closed == 1
    assert len(recorder.tasks) == 1
    if not options["max_buffer_size"]:
        with pytest.raises(RuntimeError, match="stopped or is closed"):
            next(kept[0])
    kept[0].close()
    assert recorder.closed == 1


class HeldLoop:
    """A loop that stands still until a thread of sync code has begun to wait for it."""

    def __init__(self, monkeypatch):
        self.loop = asyncio.get_running_loop()
        self.is_held = threading.Event()
        self.may_go_on = threading.Event()
        wait = _waiting.wait

        def let_go_and_wait(frame, timeout=None):
            if self.is_held.is_set() and not self.may_go_on.is_set():
                self.loop.call_soon_threadsafe(self.then)
                self.may_go_on.set()
            return wait(frame, timeout)

        monkeypatch.setattr(_waiting, "wait", let_go_and_wait)

    def hold(self):
        self.is_held.set()
        self.may_go_on.wait(PATIENCE)

    def then(self):
        """What comes in the same round as the waiting thread's coroutine."""


def test_closing_in_the_moment_when_it_is_to_go_on(in_thread, monkeypatch):
    third_is_made = threading.Event()
    closed = []

    async def generate():
        try:
            for number in range(100):
                if number == 2:
                    third_is_made.set()
                yield number
        finally:
            closed.append(asyncio.current_task())

    async def main():
        held = HeldLoop(monkeypatch)
        post = _task_lane.TaskLane.post

        def hold_and_post(lane, *args):
            if third_is_made.is_set() and not held.is_held.is_set():
                held.hold()
            return post(lane, *args)

        monkeypatch.setattr(_task_lane.TaskLane, "post", hold_and_post)

        def sync():
            items = async_to_sync(generate, max_buffer_size=2)()
            assert next(items) == 0
            assert third_is_made.wait(PATIENCE)
            async_to_sync(asyncio.sleep)(0)  # the loop has ended the step that made it
            assert next(items) == 1  # now there is room for more
            assert held.is_held.wait(PATIENCE)
            items.close()

        await sync_to_async(sync)()

    in_thread(main())
    assert len(closed) == 1


@pytest.mark.parametrize("attempt", range(100 if os.environ.get("STRESS") else 3))
def test_closing_at_any_moment_closes_once(attempt, in_thread):
    """Several threads at once, and many moments: what is just happening on the loop is left to chance."""
    closed = []

    async def generate(number):
        try:
            for item in range(100):
                if item % 3 == 0:
                    await asyncio.sleep(0)
                yield item
        finally:
            closed.append(number)

    def sync(seed):
        random = Random(seed)
        for number in range(100):
            items = async_to_sync(generate, max_buffer_size=random.choice([0, 1, 2, 8]))((seed, number))
            count = random.randrange(1, 6)
            assert list(islice(items, count)) == list(range(count))
            for _ in range(random.randrange(300)):
                pass
            items.close()

    async def main():
        call = sync_to_async(sync, thread_sensitive=False)
        await asyncio.gather(*[call(4 * attempt + each) for each in range(4)])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_thread(main())
    finally:
        sys.setswitchinterval(interval)
    assert len(closed) == len(set(closed)) == 400


def test_the_end_of_the_loop_in_the_moment_when_it_is_to_begin(options, in_thread, monkeypatch):
    async def main():
        def cancel_all_others():
            for each in asyncio.all_tasks() - {task}:
                each.cancel()

        task = asyncio.current_task()
        held = HeldLoop(monkeypatch)
        held.then = cancel_all_others

        def sync():
            items = async_to_sync(Recorder().generate, **options)()
            held.loop.call_soon_threadsafe(held.hold)
            assert held.is_held.wait(PATIENCE)
            next(items)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(sync_to_async(sync)())

    in_thread(main())


def test_what_it_has_run_ahead_survives_the_loop(recorder, in_thread):
    async def main():
        def sync():
            items = async_to_sync(recorder.generate, max_buffer_size=4)(100)
            assert next(items) == 0
            while len(recorder.made) < 4:
                async_to_sync(asyncio.sleep)(0)
            return items

        return await sync_to_async(sync)()

    items = in_thread(main())
    got = []
    with pytest.raises(RuntimeError, match="stopped or is closed"):
        for item in items:
            got.append(item)  # noqa: PERF402  # what came before the error counts
    assert got == recorder.made[1:]
    assert len(got) >= 3
    assert recorder.closed == 1


def test_cancelling_the_task_that_waits_reaches_it(recorder, options, in_thread):
    begun = threading.Event()
    caught = []

    async def generate():
        try:
            begun.set()
            await asyncio.Event().wait()
            yield
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async def main():
        task = asyncio.create_task(sync_to_async(lambda: list(async_to_sync(generate, **options)()))())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_thread(main())
    assert len(caught) == 1


def test_a_timeout_around_a_yield_expires_in_it(in_thread):
    expired = threading.Event()

    async def generate():
        try:
            async with asyncio.timeout(0.01):
                yield 1
        finally:
            expired.set()

    def sync():
        items = async_to_sync(generate)()
        assert next(items) == 1
        assert expired.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            next(items)
        assert list(items) == []

    in_thread(sync)


def test_exceptions_arrive_with_their_traceback(options, library_frames):
    async def generate():
        yield 1
        raise LookupError("from the generator")

    items = async_to_sync(generate, **options)()
    assert next(items) == 1
    with pytest.raises(LookupError, match="from the generator") as caught:
        next(items)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "generate"
    with pytest.raises(StopIteration):
        next(items)


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_stop_errors_in_the_body_do_not_look_like_its_end(error, options):
    async def generate():
        yield 1
        raise error("oops")

    with pytest.raises(RuntimeError) as caught:
        list(async_to_sync(generate, **options)())
    assert isinstance(caught.value.__cause__, error)


def test_send_and_throw():
    async def generate():
        got = yield "first"
        try:
            yield got
        except LookupError as error:
            yield repr(error)

    with pytest.raises(TypeError, match="just-started"):
        async_to_sync(generate)().send("too early")
    items = async_to_sync(generate)()
    assert next(items) == "first"
    assert items.send("sent") == "sent"
    assert items.throw(LookupError("thrown")) == "LookupError('thrown')"
    with pytest.raises(ValueError, match="through"):
        items.throw(ValueError("through"))
    with pytest.raises(StopIteration):
        items.send("late")

    class Plain:
        def __aiter__(self):
            return self

        async def __anext__(self):
            return 1

    plain = async_to_sync_iterator(Plain())
    assert next(plain) == 1
    with pytest.raises(TypeError, match="not an async generator"):
        plain.send("sent")
    assert next(plain) == 1
    plain.close()
    ahead = async_to_sync(generate, max_buffer_size=1)()
    with pytest.raises(TypeError, match="max_buffer_size=0"):
        ahead.send("sent")
    ahead.close()


def test_one_thread_at_a_time(in_thread):
    begun, may_end = threading.Event(), threading.Event()

    async def generate():
        begun.set()
        await asyncio.to_thread(may_end.wait, PATIENCE)
        yield 1

    items = async_to_sync(generate)()
    got = []
    thread = threading.Thread(target=lambda: got.append(next(items)))
    thread.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(ValueError, match="already running"):
        next(items)
    with pytest.raises(ValueError, match="already running"):
        items.close()
    may_end.set()
    thread.join(PATIENCE)
    assert got == [1]
    items.close()


def test_threads_may_take_turns(recorder, in_thread):
    items = async_to_sync(recorder.generate)()
    assert [in_thread(next, items) for _ in range(5)] == [0, 1, 2, 3, 4]
    items.close()
    assert len(recorder.tasks) == 1


def test_context_variables_go_both_ways_and_can_be_reset(in_thread):
    async def generate():
        token = variable.set("body")
        try:
            yield variable.get()
            yield variable.get()
        finally:
            variable.reset(token)

    def sync():
        items = async_to_sync(generate)()
        assert next(items) == "body"
        assert variable.get() == "body"
        variable.set("consumer")
        assert next(items) == "consumer"
        items.close()
        assert variable.get("nothing") == "nothing"

    in_thread(sync)


def test_context_variables_stay_with_a_generator_that_runs_ahead(in_thread):
    async def generate():
        yield variable.get()
        variable.set("body")
        yield variable.get()

    def sync():
        variable.set("at first")
        items = async_to_sync(generate, max_buffer_size=1)()
        assert list(items) == ["at first", "body"]
        assert variable.get() == "at first"

    in_thread(sync)


def test_on_the_thread_of_a_running_loop_it_is_refused(recorder):
    async def main():
        items = async_to_sync(recorder.generate)()
        with pytest.raises(RuntimeError, match="same thread as an async event loop"):
            next(items)

    asyncio.run(main())
    assert recorder.made == []


class Shapes:
    async def method(self, count):
        for number in range(count):
            yield number

    @classmethod
    async def of_class(cls, count):
        yield cls, count

    @staticmethod
    async def static(count):
        yield count

    async def __call__(self, count):
        yield count

    @async_to_sync
    async def decorated(self, count):
        """Documented."""
        yield self, count


def test_all_kinds_of_async_generator_functions(recwarn):
    shapes = Shapes()
    assert list(async_to_sync(shapes.method)(2)) == [0, 1]
    assert list(async_to_sync(Shapes.method)(shapes, 2)) == [0, 1]
    assert list(async_to_sync(Shapes.of_class)(2)) == [(Shapes, 2)]
    assert list(async_to_sync(Shapes.static)(2)) == [2]
    assert list(async_to_sync(shapes)(2)) == [2]
    assert list(async_to_sync(functools.partial(shapes.method, 2))()) == [0, 1]
    assert list(shapes.decorated(2)) == [(shapes, 2)]
    assert isinstance(Shapes.__dict__["decorated"], AsyncToSync)
    assert Shapes.decorated.__doc__ == "Documented."
    assert list(inspect.signature(Shapes.decorated).parameters) == ["self", "count"]
    assert not recwarn.list


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: async_to_sync_iterator([]), TypeError, "not \\[\\]"),
        (lambda: async_to_sync_iterator(Shapes().method(1), max_buffer_size=-1), ValueError, "not -1"),
        (lambda: async_to_sync(Shapes().method, force_new_loop=True), TypeError, "use a portal"),
        (lambda: async_to_sync(asyncio.sleep, max_buffer_size=2), TypeError, "async generator functions"),
        (lambda: async_to_sync(asyncio.sleep, portal=3), TypeError, "not 3"),
        (lambda: async_to_sync(Recorder().generate)(1, 2, 3), TypeError, "positional"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_no_loop_is_left_behind(recorder, options, in_thread):
    def sync():
        for _ in range(5):
            list(async_to_sync(recorder.generate, **options)())

    in_thread(sync)
    assert all(loop.is_closed() for loop in recorder.loops) or _all_close(recorder.loops)


def _all_close(loops):
    deadline = threading.Event()
    for _ in range(200):
        if all(loop.is_closed() for loop in loops):
            return True
        deadline.wait(0.02)
    return False
