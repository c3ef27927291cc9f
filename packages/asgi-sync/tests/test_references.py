"""Nothing is kept alive: no cycles, no results on idle threads, no tracebacks that grow."""

import asyncio
import gc
import sysconfig
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any

import pytest

from asgi_sync import ThreadSensitiveContext, async_to_sync, sync_to_async

InThread = Callable[..., Any]


class Thing:
    """Something that can be referred to weakly."""


class Failure(Exception):
    """An exception that carries a thing."""

    def __init__(self, thing: Thing | None = None) -> None:
        self.thing = thing


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    """Reference counting alone must free everything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


#: There functions are never freed but by the collector, nor what only they, or two threads, refer to: deferred and
#: biased reference counting. What is shown there is that nothing is kept for good; cycles are told with a GIL.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gone(*references: "weakref.ref[Any]") -> bool:
    """Whether all are dead; a worker may need a moment to let go of its last job."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if all(reference() is None for reference in references):
            return True
        if FREE_THREADED:
            gc.collect()
        time.sleep(0.001)
    return False


def fail_sync(thing: Thing) -> None:
    local_thing = Thing()
    raise Failure(local_thing)


async def fail_async(thing: Thing) -> None:
    local_thing = Thing()
    await asyncio.sleep(0)
    raise Failure(local_thing)


async def call_sync(thing: Thing, **options: Any) -> None:
    await sync_to_async(fail_sync, **options)(thing)


CROSSINGS: dict[str, Callable[[Thing], Any]] = {
    "sensitive": call_sync,
    "insensitive": lambda thing: call_sync(thing, thread_sensitive=False),
    "nested": lambda thing: sync_to_async(async_to_sync(fail_async))(thing),
    "nested both ways": lambda thing: sync_to_async(async_to_sync(call_sync))(thing),
}


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_an_exception_from_sync_code_keeps_nothing_alive(in_thread: InThread, crossing: str) -> None:
    """With the garbage collector off: neither the exception nor an argument nor a frame's local.

    asgiref 3.13.0 leaves them in a cycle.
    """
    references: list[weakref.ref[Any]] = []

    async def main() -> None:
        thing = Thing()
        references.append(weakref.ref(thing))
        try:
            await CROSSINGS[crossing](thing)
        except Failure as exc:
            references.append(weakref.ref(exc))
            references.append(weakref.ref(exc.thing))
        del thing

    async def run() -> bool:
        await asyncio.create_task(main())
        return await asyncio.to_thread(gone, *references)

    assert in_thread(run())
    assert len(references) == 3


def test_an_exception_in_a_context_keeps_nothing_alive(in_thread: InThread) -> None:
    references: list[weakref.ref[Any]] = []

    async def main() -> None:
        thing = Thing()
        references.append(weakref.ref(thing))
        try:
            async with ThreadSensitiveContext() as context:
                references.append(weakref.ref(context))
                await call_sync(thing)
        except Failure as exc:
            references.append(weakref.ref(exc))

    async def run() -> bool:
        await asyncio.create_task(main())
        return await asyncio.to_thread(gone, *references)

    assert in_thread(run())
    assert len(references) == 3


def test_an_exception_keeps_nothing_of_the_call_that_ended_before_it(in_thread: InThread) -> None:
    """Its traceback leads to the frames in which the loop heard of the call's end: neither callable nor context."""
    variable: ContextVar[Thing] = ContextVar("variable")
    references: list[weakref.ref[Any]] = []

    class Function(Thing):
        def __call__(self) -> None: ...

    async def main() -> None:
        function, value = Function(), Thing()
        references.extend([weakref.ref(function), weakref.ref(value)])
        variable.set(value)
        call = sync_to_async(function)
        del function, value
        await call()
        del call
        raise Failure

    async def run() -> bool:
        task = asyncio.create_task(main())
        await asyncio.wait([task])
        error = task.exception()
        references.append(weakref.ref(task))
        del task
        return isinstance(error, Failure) and await asyncio.to_thread(gone, *references)

    assert in_thread(run())
    assert len(references) == 3


@pytest.mark.parametrize("force_new_loop", [False, True])
def test_an_exception_from_async_code_keeps_nothing_alive(in_thread: InThread, force_new_loop: bool) -> None:
    references: list[weakref.ref[Any]] = []

    def root() -> None:
        thing = Thing()
        references.append(weakref.ref(thing))
        try:
            async_to_sync(fail_async, force_new_loop=force_new_loop)(thing)
        except Failure as exc:
            references.append(weakref.ref(exc))
            references.append(weakref.ref(exc.thing))

    def run() -> bool:
        root()
        return gone(*references)

    assert in_thread(run)
    assert len(references) == 3


def test_results_and_arguments_are_not_kept_by_an_idle_thread(in_thread: InThread) -> None:
    references: list[weakref.ref[Any]] = []

    def work(thing: Thing) -> Thing:
        references.append(weakref.ref(thing))
        result = Thing()
        references.append(weakref.ref(result))
        return result

    async def awork(thing: Thing) -> Thing:
        return work(thing)

    async def main() -> None:
        await sync_to_async(work)(Thing())
        await sync_to_async(work, thread_sensitive=False)(Thing())
        async with ThreadSensitiveContext():
            await sync_to_async(work)(Thing())

    async def run() -> bool:
        await asyncio.create_task(main())
        return await asyncio.to_thread(gone, *references)

    assert in_thread(run())

    def root() -> bool:
        async_to_sync(awork)(Thing())
        return gone(*references)

    assert in_thread(root)
    assert len(references) == 8


def test_a_loop_is_not_kept_by_an_idle_thread(in_thread: InThread) -> None:
    """A loop whose calls the sensitive thread served last can go when its owner lets go of it.

    asgiref 3.13.0 keeps it in the thread's ``main_event_loop``, which others read (see the contract): so the
    next call of any loop is enough.
    """

    def main() -> "weakref.ref[asyncio.AbstractEventLoop]":
        loop = asyncio.new_event_loop()
        loop.run_until_complete(sync_to_async(int)())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        return weakref.ref(loop)

    reference = in_thread(main)
    in_thread(sync_to_async(int)())
    gc.collect()  # asyncio's own loops are in cycles
    assert gone(reference)


def test_a_wrapper_keeps_its_function_no_longer_than_it_lives(in_thread: InThread) -> None:
    def work() -> None: ...

    async def awork() -> None: ...

    functions = [weakref.ref(work), weakref.ref(awork)]
    wrapper: Any = sync_to_async(work)
    in_thread(wrapper())
    awrapper: Any = async_to_sync(awork)
    in_thread(awrapper)
    wrappers = [weakref.ref(wrapper), weakref.ref(awrapper)]
    del work, awork, wrapper, awrapper
    assert gone(*functions, *wrappers)


def test_a_cancelled_call_keeps_nothing_alive(in_thread: InThread) -> None:
    references: list[weakref.ref[Any]] = []
    entered, release = threading.Event(), threading.Event()

    def work(thing: Thing) -> None:
        entered.set()
        release.wait(40)

    async def main() -> None:
        thing = Thing()
        references.append(weakref.ref(thing))
        task = asyncio.create_task(sync_to_async(work)(thing))
        del thing
        while not entered.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        release.set()

    async def run() -> bool:
        await asyncio.create_task(main())
        return await asyncio.to_thread(gone, *references)

    assert in_thread(run())


@pytest.mark.skipif(
    FREE_THREADED, reason="there the collector also finds what counting references frees elsewhere"
)
def test_no_garbage_is_made(in_thread: InThread) -> None:
    """1,000 calls of every kind leave the collector nothing to find that grows with their number.

    asgiref 3.13.0 leaves about 40 objects in cycles for each round of this.
    """

    async def anothing() -> None: ...

    async def crossings(count: int) -> int:
        for _ in range(count):
            await sync_to_async(int)()
            await sync_to_async(int, thread_sensitive=False)()
            await sync_to_async(async_to_sync(anothing))()
            try:
                await sync_to_async(fail_sync)(Thing())
            except Failure:
                pass
        return gc.collect()

    async def main() -> tuple[int, int]:
        await crossings(10)
        return await crossings(10), await crossings(250)

    few, many = in_thread(main())
    assert many < few + 100


# Tracebacks


def length(traceback: TracebackType | None) -> int:
    count = 0
    while traceback is not None:
        traceback = traceback.tb_next
        count += 1
    return count


def test_bridging_in_an_except_block_does_not_lengthen_the_traceback(in_thread: InThread) -> None:
    """asgiref 3.13.0 adds frames to the exception being handled, call after call."""

    async def main() -> list[int]:
        lengths = []
        error = Failure()
        try:
            raise error
        except Failure:
            for _ in range(4):
                await sync_to_async(int)()
                lengths.append(length(error.__traceback__))
        return lengths

    assert in_thread(main()) == [1, 1, 1, 1]


def test_bridging_to_async_code_in_an_except_block_does_not_lengthen_the_traceback(
    in_thread: InThread,
) -> None:
    """asgiref 3.13.0 adds frames to the exception being handled, call after call."""

    async def anothing() -> None:
        await asyncio.sleep(0)

    def root() -> list[int]:
        lengths = []
        error = Failure()
        try:
            raise error
        except Failure:
            for _ in range(4):
                async_to_sync(anothing)()
                lengths.append(length(error.__traceback__))
        return lengths

    assert in_thread(root) == [1, 1, 1, 1]


def test_a_failing_call_in_an_except_block_leaves_the_handled_exception_alone(in_thread: InThread) -> None:
    """Its context (``__context__``) and traceback are as without the bridge."""

    async def main() -> tuple[int, bool]:
        error = ValueError("handled")
        caught: list[Failure] = []
        try:
            raise error
        except ValueError:
            for _ in range(3):
                try:
                    await sync_to_async(fail_sync)(Thing())
                except Failure as exc:
                    caught.append(exc)
        return length(error.__traceback__), all(exc.__context__ is error for exc in caught)

    assert in_thread(main()) == (1, True)


def test_an_exception_raised_again_and_again_does_not_grow(in_thread: InThread) -> None:
    """A pre-made exception, as ``raise self._error`` of a broken connection: as much as plain code adds.

    Each raise adds its own frames to the same object, in plain Python as well: the bridge adds a bounded
    number to each, the same every time.
    """
    error = Failure()

    def fail() -> None:
        raise error

    async def main() -> list[int]:
        lengths = []
        for _ in range(4):
            error.__traceback__ = None
            with pytest.raises(Failure):
                await sync_to_async(fail)()
            lengths.append(length(error.__traceback__))
        return lengths

    lengths = in_thread(main())
    assert len(set(lengths)) == 1
    assert lengths[0] < 12


def test_every_frame_of_the_library_is_hidden_from_debug_pages(
    in_thread: InThread, library_frames: Callable[[BaseException], list[FrameType]]
) -> None:
    """asgiref 3.13.0 shows its inner functions ``func`` and ``run_child``."""

    async def main(crossing: str) -> list[tuple[str, bool]]:
        try:
            await CROSSINGS[crossing](Thing())
        except Failure as exc:
            frames = library_frames(exc)
            return [(f.f_code.co_qualname, bool(f.f_locals.get("__traceback_hide__"))) for f in frames]
        raise AssertionError("nothing was raised")

    for crossing in CROSSINGS:
        frames = in_thread(main(crossing))
        assert frames
        assert [name for name, hidden in frames if not hidden] == []


def test_the_traceback_shows_both_sides(in_thread: InThread) -> None:
    """From the caller down to the line that failed, in order."""

    async def main() -> list[str]:
        try:
            await CROSSINGS["nested both ways"](Thing())
        except Failure as exc:
            traceback, names = exc.__traceback__, []
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            return [name for name in names if name in {"main", "call_sync", "fail_sync"}]
        raise AssertionError("nothing was raised")

    assert in_thread(main()) == ["main", "call_sync", "fail_sync"]
