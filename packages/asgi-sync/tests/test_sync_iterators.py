"""Sync iterators in async code: one thread, lazily, closed once."""

import asyncio
import functools
import gc
import inspect
import os
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import ContextVar

import pytest

from asgi_sync import (
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    iscoroutinefunction,
    start_blocking_portal,
    sync_to_async,
    sync_to_async_iterator,
)

variable: ContextVar[str] = ContextVar("variable")
PATIENCE = 40


class Recorder:
    """A generator function that notes what it does, and on which thread."""

    def __init__(self):
        self.threads = set()
        self.made = []
        self.closed = []
        self.was_closed = threading.Event()

    def generate(self, count=5):
        try:
            for number in range(count):
                self.threads.add(threading.current_thread())
                self.made.append(number)
                yield number
        finally:
            self.threads.add(threading.current_thread())
            self.closed.append(threading.current_thread())
            self.was_closed.set()

    async def until_closed(self):
        assert await asyncio.to_thread(self.was_closed.wait, PATIENCE)


@pytest.fixture
def recorder():
    return Recorder()


MODES = [
    pytest.param({}, id="sensitive"),
    pytest.param({"thread_sensitive": False}, id="insensitive"),
    pytest.param({"max_buffer_size": 2}, id="sensitive, ahead"),
    pytest.param({"thread_sensitive": False, "max_buffer_size": 2}, id="insensitive, ahead"),
]


@pytest.fixture(params=MODES)
def options(request):
    return request.param


def test_all_of_it_runs_on_one_thread_which_is_not_the_loops(recorder, options):
    async def main():
        return [item async for item in sync_to_async(recorder.generate, **options)()]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert len(recorder.threads) == 1
    assert threading.current_thread() not in recorder.threads
    assert len(recorder.closed) == 1


def test_the_sensitive_thread_is_the_one_of_other_sensitive_code(recorder):
    async def main():
        async with ThreadSensitiveContext():
            thread = await sync_to_async(threading.current_thread)()
            async for _ in sync_to_async(recorder.generate)():
                assert await sync_to_async(threading.current_thread)() is thread
            return thread

    thread = asyncio.run(main())
    assert recorder.threads == {thread}


def test_under_async_to_sync_it_is_the_waiting_thread(recorder, in_thread):
    async def main():
        return [item async for item in sync_to_async(recorder.generate)()]

    def sync():
        assert async_to_sync(main)() == [0, 1, 2, 3, 4]
        assert recorder.threads == {threading.current_thread()}

    in_thread(sync)


@pytest.mark.parametrize("workers", [1, 3])
def test_one_thread_of_an_executor(recorder, workers):
    with ThreadPoolExecutor(workers, thread_name_prefix="mine") as executor:
        wrapped = sync_to_async(recorder.generate, thread_sensitive=False, executor=executor)

        async def main():
            async for _ in wrapped():
                # With one worker this needs the thread that the generator is on.
                await sync_to_async(time.time, thread_sensitive=False, executor=executor)()

        asyncio.run(main())
    assert [thread.name.startswith("mine") for thread in recorder.threads] == [True]


def test_an_executor_that_is_shut_down_is_not_waited_for(recorder, in_thread):
    def sync():
        executor = ThreadPoolExecutor(2)

        async def main():
            items = sync_to_async(recorder.generate, thread_sensitive=False, executor=executor)()
            assert await anext(items) == 0
            executor.shutdown(wait=True)
            with pytest.raises(RuntimeError, match="shutdown"):
                await anext(items)
            await items.aclose()

        asyncio.run(main())

    in_thread(sync)
    assert len(recorder.closed) == 1


def test_nothing_runs_ahead_and_nothing_before_it_is_asked_for(recorder):
    async def main():
        items = sync_to_async(recorder.generate)()
        assert recorder.made == []
        for number in range(3):
            assert await anext(items) == number
            assert recorder.made == list(range(number + 1))
        await items.aclose()
        await sync_to_async(recorder.generate)().aclose()

    asyncio.run(main())
    assert recorder.made == [0, 1, 2]
    assert len(recorder.closed) == 1


def test_it_runs_ahead_by_the_size_of_the_buffer_at_most():
    made = threading.Semaphore(0)
    consumed = [0]
    ahead = []

    def generate():
        for number in range(100):
            ahead.append(number + 1 - consumed[0])
            made.release()
            yield number

    async def main():
        items = sync_to_async(generate, thread_sensitive=False, max_buffer_size=8)()
        for number in range(100):
            assert await anext(items) == number
            consumed[0] += 1
            if number == 0:  # it goes on by itself, and stops
                for _ in range(8):
                    assert await asyncio.to_thread(made.acquire, timeout=PATIENCE)
        assert [item async for item in items] == []

    asyncio.run(main())
    assert 1 < max(ahead) <= 8 + 1  # the one that was handed out but not counted yet


def test_other_sensitive_work_is_not_held_up_by_reading_ahead():
    may_go_on = threading.Event()

    def generate():
        yield 1
        while not may_go_on.is_set():
            yield 2

    async def main():
        async with aclosing(sync_to_async(generate, max_buffer_size=1000000)()) as items:
            assert await anext(items) == 1
            await asyncio.wait_for(sync_to_async(may_go_on.set)(), PATIENCE)

    asyncio.run(main())


def test_awaiting_gives_the_plain_generator(recorder):
    async def main():
        call = sync_to_async(recorder.generate)
        assert isinstance(call, SyncToAsync)
        assert iscoroutinefunction(call)
        assert asyncio.iscoroutine(call())
        assert inspect.isgenerator(await call())
        assert inspect.isgenerator(await asyncio.create_task(call()))
        assert inspect.isgenerator(await asyncio.wait_for(call(), PATIENCE))
        plain = await call(3)
        assert list(plain) == [0, 1, 2]
        both = call()
        await both
        with pytest.raises(RuntimeError, match="was awaited"):
            await anext(both)

    asyncio.run(main())


@pytest.mark.parametrize("way", ["aclose", "break", "exception", "collected", "loop"])
def test_leaving_early_closes_once_on_the_thread(recorder, options, way):
    async def main():
        items = sync_to_async(recorder.generate, **options)(100)
        if way == "aclose":
            assert await anext(items) == 0
            await items.aclose()
            await items.aclose()
            assert recorder.closed
        elif way == "break":
            async with aclosing(items):
                async for _ in items:
                    break
            assert recorder.closed
        elif way == "exception":
            with pytest.raises(ZeroDivisionError):
                async with aclosing(items):
                    async for _ in items:
                        raise ZeroDivisionError
        elif way == "collected":
            await anext(items)
            del items
            gc.collect()
            await recorder.until_closed()
        else:
            await anext(items)
            return items
        return None

    items = asyncio.run(main())
    assert len(recorder.closed) == 1
    assert len(recorder.threads) == 1
    assert threading.current_thread() not in recorder.threads
    del items
    gc.collect()
    assert len(recorder.closed) == 1


@pytest.mark.parametrize("abandon", [True, False])
def test_cancelling_while_it_runs_closes_it(abandon):
    begun, may_end, closed = threading.Event(), threading.Event(), threading.Event()
    threads = []

    def generate():
        threads.append(threading.current_thread())
        try:
            begun.set()
            assert may_end.wait(PATIENCE)
            yield 1
        finally:
            threads.append(threading.current_thread())
            closed.set()

    async def consume():
        async for _ in sync_to_async(generate, abandon_on_cancel=abandon)():
            pytest.fail("an item after the cancellation")

    async def main():
        task = asyncio.create_task(consume())
        await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        if not abandon:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
            may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set() is not abandon
        may_end.set()
        assert await asyncio.to_thread(closed.wait, PATIENCE)

    asyncio.run(main())
    assert threads[0] is threads[1]


def test_cancelling_before_its_turn_closes_it(recorder):
    begun, may_end = threading.Event(), threading.Event()

    def block():
        begun.set()
        assert may_end.wait(PATIENCE)

    async def main():
        items = sync_to_async(recorder.generate)()
        await anext(items)
        blocking = asyncio.create_task(sync_to_async(block)())
        await asyncio.to_thread(begun.wait, PATIENCE)
        task = asyncio.create_task(anext(items))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        await blocking
        await recorder.until_closed()
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    asyncio.run(main())
    assert recorder.made == [0]
    assert len(recorder.closed) == 1


def test_cancelling_aclose_does_not_stop_it(recorder):
    begun, may_end = threading.Event(), threading.Event()

    def block():
        begun.set()
        assert may_end.wait(PATIENCE)

    async def main():
        items = sync_to_async(recorder.generate)()
        await anext(items)
        blocking = asyncio.create_task(sync_to_async(block)())
        await asyncio.to_thread(begun.wait, PATIENCE)
        task = asyncio.create_task(items.aclose())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        await blocking
        await recorder.until_closed()

    asyncio.run(main())
    assert len(recorder.closed) == 1


def test_what_fails_after_it_was_abandoned_is_told(in_thread):
    begun, may_end = threading.Event(), threading.Event()
    told = []

    def generate():
        begun.set()
        assert may_end.wait(PATIENCE)
        yield 1 / 0

    async def main():
        heard = asyncio.Event()

        def handler(loop, details):
            told.append(details["exception"])
            heard.set()

        asyncio.get_running_loop().set_exception_handler(handler)
        task = asyncio.create_task(anext(sync_to_async(generate)()))
        await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        await asyncio.wait_for(heard.wait(), PATIENCE)

    in_thread(main())
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_exceptions_arrive_with_their_traceback(options, library_frames):
    def generate():
        yield 1
        raise LookupError("from the generator")

    async def main():
        items = sync_to_async(generate, **options)()
        assert await anext(items) == 1
        with pytest.raises(LookupError, match="from the generator") as caught:
            await anext(items)
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "generate"
        assert all(frame.f_locals.get("__traceback_hide__") for frame in library_frames(caught.value))
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    asyncio.run(main())


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_stop_errors_in_the_body_do_not_look_like_its_end(error, options):
    def generate():
        yield 1
        raise error("oops")

    async def main():
        with pytest.raises(RuntimeError) as caught:
            async for _ in sync_to_async(generate, **options)():
                pass
        assert isinstance(caught.value.__cause__, error)

    asyncio.run(main())


def test_asend_and_athrow():
    def generate():
        got = yield "first"
        try:
            yield got
        except LookupError as error:
            yield repr(error)

    async def main():
        items = sync_to_async(generate)()
        with pytest.raises(TypeError, match="just-started"):
            await items.asend("too early")
        items = sync_to_async(generate)()
        assert await anext(items) == "first"
        assert await items.asend("sent") == "sent"
        assert await items.athrow(LookupError("thrown")) == "LookupError('thrown')"
        with pytest.raises(ValueError, match="through"):
            await items.athrow(ValueError("through"))
        with pytest.raises(StopAsyncIteration):
            await items.asend("late")
        plain = sync_to_async_iterator([1, 2])
        assert await anext(plain) == 1
        with pytest.raises(TypeError, match="not a generator"):
            await plain.asend("sent")
        with pytest.raises(TypeError, match="not a generator"):
            await plain.athrow(ValueError)
        assert await anext(plain) == 2
        ahead = sync_to_async(generate, max_buffer_size=1)()
        with pytest.raises(TypeError, match="max_buffer_size=0"):
            await ahead.asend("sent")
        await ahead.aclose()

    asyncio.run(main())


def test_one_task_at_a_time():
    begun, may_end = threading.Event(), threading.Event()

    def generate():
        begun.set()
        assert may_end.wait(PATIENCE)
        yield 1

    async def main():
        items = sync_to_async(generate)()
        task = asyncio.create_task(anext(items))
        await asyncio.to_thread(begun.wait, PATIENCE)
        with pytest.raises(RuntimeError, match="already running"):
            await anext(items)
        with pytest.raises(RuntimeError, match="is running"):
            await items.aclose()
        may_end.set()
        assert await task == 1
        await items.aclose()

    asyncio.run(main())


def test_context_variables_go_both_ways_and_can_be_reset():
    seen = []

    def generate():
        token = variable.set("body")
        try:
            yield variable.get()
            seen.append(variable.get())
            yield variable.get()
        finally:
            variable.reset(token)

    async def main():
        items = sync_to_async(generate)()
        await anext(items)
        assert variable.get() == "body"
        variable.set("consumer")
        assert await anext(items) == "consumer"
        await items.aclose()
        assert variable.get("nothing") == "nothing"

    asyncio.run(main())
    assert seen == ["consumer"]


def test_context_variables_stay_with_a_generator_that_runs_ahead():
    def generate():
        yield variable.get()
        variable.set("body")
        yield variable.get()

    async def main():
        variable.set("at first")
        items = sync_to_async(generate, max_buffer_size=1)()
        assert await anext(items) == "at first"
        assert await anext(items) == "body"
        assert variable.get() == "at first"
        await items.aclose()

    asyncio.run(main())


def test_the_body_can_wait_for_async_code(options):
    async def double(number):
        await asyncio.sleep(0)
        return 2 * number, asyncio.get_running_loop()

    def generate():
        for number in range(3):
            yield async_to_sync(double)(number)

    async def main():
        loop = asyncio.get_running_loop()
        assert [item async for item in sync_to_async(generate, **options)()] == [
            (0, loop),
            (2, loop),
            (4, loop),
        ]

    asyncio.run(main())


class Shapes:
    def method(self, count):
        yield from range(count)

    @classmethod
    def of_class(cls, count):
        yield cls, count

    @staticmethod
    def static(count):
        yield count

    def __call__(self, count):
        yield count

    @sync_to_async
    def decorated(self, count):
        yield self, count

    @sync_to_async(thread_sensitive=False)
    def with_options(self, count):
        yield self, count


def test_all_kinds_of_generator_functions():
    async def collect(items):
        return [item async for item in items]

    async def main():
        shapes = Shapes()
        assert await collect(sync_to_async(shapes.method)(2)) == [0, 1]
        assert await collect(sync_to_async(Shapes.method)(shapes, 2)) == [0, 1]
        assert await collect(sync_to_async(Shapes.of_class)(2)) == [(Shapes, 2)]
        assert await collect(sync_to_async(Shapes.static)(2)) == [2]
        assert await collect(sync_to_async(shapes)(2)) == [2]
        assert await collect(sync_to_async(functools.partial(shapes.method, 2))()) == [0, 1]
        assert await collect(shapes.decorated(2)) == [(shapes, 2)]
        assert await collect(Shapes.decorated(shapes, 2)) == [(shapes, 2)]
        assert await collect(shapes.with_options(2)) == [(shapes, 2)]

    asyncio.run(main())


def test_iterables_of_other_kinds_are_not_closed():
    class Closable:
        closed = 0

        def __iter__(self):
            return self

        def __next__(self):
            return threading.current_thread()

        def close(self):
            self.closed += 1

    async def main():
        source = Closable()
        async with aclosing(sync_to_async_iterator(source)) as items:
            assert await anext(items) is not threading.current_thread()
        assert source.closed == 0
        assert [item async for item in sync_to_async_iterator({"a": 1})] == ["a"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sync_to_async_iterator(3), TypeError, "not 3"),
        (lambda: sync_to_async_iterator([], max_buffer_size=-1), ValueError, "not -1"),
        (lambda: sync_to_async_iterator([], max_buffer_size="2"), TypeError, "not '2'"),
        (lambda: sync_to_async_iterator([], executor=ThreadPoolExecutor(1)), TypeError, "thread_sensitive"),
        (lambda: sync_to_async_iterator([], executor=3, thread_sensitive=False), TypeError, "not 3"),
        (lambda: sync_to_async(len, max_buffer_size=2), TypeError, "generator functions"),
        (lambda: sync_to_async(Recorder().generate)(1, 2, 3), TypeError, "positional"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_going_on_when_the_thread_has_left(recorder, in_thread):
    """The generator began on a thread that waited in async_to_sync, and does not any more."""
    kept = []

    async def begin():
        items = sync_to_async(recorder.generate)()
        await anext(items)
        kept.append(items)

    async def go_on():
        with pytest.raises(RuntimeError, match="has gone"):
            await anext(kept[0])
        await kept[0].aclose()

    with start_blocking_portal() as portal:
        in_thread(portal.call, begin)
        portal.call(go_on)
    assert len(recorder.closed) == 1


def test_an_iterator_that_ended_keeps_no_thread(recorder):
    async def main():
        for _ in range(100):
            assert [item async for item in sync_to_async(recorder.generate, thread_sensitive=False)()]

    asyncio.run(main())
    # A thread comes back a moment after its iterator has ended, so that a few take turns.
    assert len(recorder.threads) < 90


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child(run_program):
    out = run_program(
        """
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, from 3.12 on
        from asgi_sync import async_to_sync, sync_to_async

        @sync_to_async
        def generate():
            yield 1
            yield 2

        @async_to_sync
        async def agenerate():
            yield 3
            yield 4

        async def go_on(items):
            try:
                await anext(items)
            except RuntimeError as error:
                print("gone" in str(error))
            print([item async for item in generate()])

        async def main():
            items = generate()
            print(await anext(items))
            return items

        async def one(items):
            return await anext(items)

        runner = asyncio.Runner()
        items = runner.run(main())
        sync_items = agenerate()
        print(next(sync_items))
        sys.stdout.flush()
        child = os.fork()
        if not child:
            asyncio.run(go_on(items))
            try:
                next(sync_items)
            except RuntimeError as error:
                print("forked" in str(error))
            print(list(agenerate()))
            del items, sync_items
            sys.stdout.flush()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print(next(sync_items), runner.run(one(items)))
        sync_items.close()
        runner.close()
        """
    )
    assert out.splitlines() == ["1", "3", "True", "[1, 2]", "True", "[3, 4]", "4 2"]


def test_iterators_on_all_threads_of_an_executor_do_not_starve_it(in_thread):
    """Each occupies a thread, and needs another one between two items."""

    def generate():
        yield from range(3)

    async def main():
        with ThreadPoolExecutor(2) as executor:
            wrapped = sync_to_async(generate, thread_sensitive=False, executor=executor)
            call = sync_to_async(int, thread_sensitive=False, executor=executor)
            first, second, third = wrapped(), wrapped(), wrapped()
            for items in (first, second, third):
                assert await asyncio.wait_for(anext(items), PATIENCE) == 0
            assert await asyncio.wait_for(call("3"), PATIENCE) == 3
            await first.aclose()
            await second.aclose()
            await third.aclose()

    in_thread(main())


@pytest.mark.parametrize("attempt", range(300 if os.environ.get("STRESS") else 5))
def test_cancelling_at_any_moment_closes_once(attempt, recorder):
    async def consume(items):
        async for _ in items:
            pass

    async def main():
        items = sync_to_async(recorder.generate, max_buffer_size=attempt % 3)(100000)
        task = asyncio.create_task(consume(items))
        for _ in range(attempt):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if recorder.made:
            await recorder.until_closed()

    asyncio.run(main())
    assert len(recorder.closed) == bool(recorder.made)


def test_a_refused_first_step_leaves_it_open(recorder):
    async def main():
        items = sync_to_async(recorder.generate)()
        token = SyncToAsync.deadlock_context.set(True)
        with pytest.raises(RuntimeError, match="would deadlock"):
            await anext(items)
        SyncToAsync.deadlock_context.reset(token)
        assert await anext(items) == 0
        await items.aclose()
        refused = sync_to_async(recorder.generate)()
        SyncToAsync.deadlock_context.set(True)
        with pytest.raises(RuntimeError, match="would deadlock"):
            await anext(refused)
        await refused.aclose()

    asyncio.run(main())
    assert len(recorder.closed) == 1
