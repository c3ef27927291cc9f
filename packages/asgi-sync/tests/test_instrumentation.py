"""Listeners are told of every crossing, and disturb none."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    instrumentation,
    start_blocking_portal,
    sync_to_async,
)
from asgi_sync.instrumentation import CrossingFinished, CrossingStarted, Direction, Mode, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

#: Of other tests' threads nothing must be seen: each test takes the events of callables that it names.
HERE = __name__


class Log:
    """Keeps the events of callables of this module."""

    def __init__(self) -> None:
        self.events: list[CrossingStarted | CrossingFinished] = []

    def started(self, event: CrossingStarted) -> None:
        if event.name.startswith(HERE):
            self.events.append(event)

    def finished(self, event: CrossingFinished) -> None:
        if event.started.name.startswith(HERE):
            self.events.append(event)

    @property
    def starts(self) -> list[CrossingStarted]:
        return [event for event in self.events if isinstance(event, CrossingStarted)]

    @property
    def ends(self) -> list[CrossingFinished]:
        return [event for event in self.events if isinstance(event, CrossingFinished)]

    def of(self, name: str) -> CrossingFinished:
        """The one crossing of a callable."""
        (event,) = [event for event in self.ends if event.started.name.rpartition(".")[2] == name]
        return event


@pytest.fixture
def log() -> Iterator[Log]:
    with instrumentation.listening(Log()) as log:
        yield log


def leaf() -> int:
    return threading.get_ident()


async def aleaf() -> int:
    return threading.get_ident()


def fails() -> None:
    raise LookupError("no such thing")


# What an event says.


@pytest.mark.asyncio
async def test_sync_to_async(log: Log) -> None:
    thread = await sync_to_async(leaf)()
    event = log.of("leaf")
    assert event.started.name == f"{HERE}.leaf"
    assert event.started.direction is Direction.SYNC_TO_ASYNC
    assert event.started.mode is Mode.THREAD_SENSITIVE
    assert event.started.reason is Reason.PROCESS
    assert event.started.parent is None
    task = asyncio.current_task()
    assert task is not None
    assert event.started.caller.thread_id == threading.get_ident()
    assert event.started.caller.task == task.get_name()
    assert event.started.caller.loop is not None
    assert event.started.caller.loop.endswith(type(asyncio.get_running_loop()).__name__)
    assert event.place is not None
    assert event.place.thread_id == thread
    assert event.place.loop is event.place.task is None
    assert event.started.executor == f"thread {event.place.thread_name}"
    assert event.outcome is Outcome.RETURNED
    assert event.error is None


def test_async_to_sync(log: Log) -> None:
    thread = async_to_sync(aleaf)()
    event = log.of("aleaf")
    assert event.started.direction is Direction.ASYNC_TO_SYNC
    assert event.started.mode is Mode.ANY_LOOP
    assert event.started.reason is Reason.OWN_LOOP
    assert event.started.caller == (threading.get_ident(), threading.current_thread().name, None, None)
    assert event.place is not None
    assert event.place.thread_id == thread != threading.get_ident()
    assert event.place.loop is not None
    assert event.place.task is not None
    assert event.outcome is Outcome.RETURNED


@pytest.mark.asyncio
async def test_times_follow_each_other(log: Log) -> None:
    await sync_to_async(leaf)()
    await sync_to_async(async_to_sync(aleaf))()
    assert len(log.ends) == 3
    for event in log.ends:
        assert event.began is not None
        assert event.ended is not None
        assert event.started.time <= event.began <= event.ended <= event.time
        assert event.queued == event.began - event.started.time
        assert event.ran == event.ended - event.began


@pytest.mark.asyncio
async def test_the_queueing_of_a_call_behind_another_is_seen(log: Log) -> None:
    entered, leave = threading.Event(), threading.Event()

    def holds() -> None:
        entered.set()
        assert leave.wait(20)

    first = asyncio.create_task(sync_to_async(holds)())
    await asyncio.to_thread(entered.wait, 20)
    second = asyncio.create_task(sync_to_async(leaf)())
    while len(log.starts) < 2:
        await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, second)
    held, waited = log.of("holds"), log.of("leaf")
    assert held.ended is not None
    assert waited.began is not None
    assert waited.began >= held.ended
    assert waited.queued >= held.ended - waited.started.time


@pytest.mark.asyncio
async def test_parents(log: Log) -> None:
    """A crossing inside the called code knows its parent, through both bridges and through tasks."""

    async def in_the_middle() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sync_to_async(leaf)())

    def outermost() -> None:
        async_to_sync(in_the_middle)()

    await sync_to_async(outermost)()
    assert log.of("outermost").started.parent is None
    assert log.of("in_the_middle").started.parent == log.of("outermost").started.id
    assert log.of("leaf").started.parent == log.of("in_the_middle").started.id
    await sync_to_async(fails_not)()
    assert log.of("fails_not").started.parent is None


def fails_not() -> None: ...


@pytest.mark.asyncio
async def test_the_parent_is_known_in_a_context_that_was_given(log: Log) -> None:
    def outermost() -> None:
        async_to_sync(aleaf)()

    context = contextvars.Context()
    await SyncToAsync(outermost, context=context)()
    assert log.of("aleaf").started.parent == log.of("outermost").started.id
    assert list(context) == []


@pytest.mark.asyncio
async def test_reasons_of_sync_to_async(log: Log) -> None:
    async def inside() -> None:
        await sync_to_async(in_frame)()

    def in_frame() -> None: ...
    def in_context() -> None: ...
    def in_executor() -> None: ...
    def in_default_executor() -> None: ...

    await sync_to_async(async_to_sync(inside))()
    async with ThreadSensitiveContext():
        await sync_to_async(in_context)()
    with ThreadPoolExecutor(1, thread_name_prefix="own") as pool:
        await sync_to_async(in_executor, thread_sensitive=False, executor=pool)()
    await sync_to_async(in_default_executor, thread_sensitive=False)()
    reasons = {event.started.name.rpartition(".")[2]: event.started.reason for event in log.ends}
    del reasons["inside"]
    assert reasons == {
        "in_frame": Reason.WAITING_FRAME,
        "in_context": Reason.CONTEXT,
        "in_executor": Reason.EXECUTOR,
        "in_default_executor": Reason.DEFAULT_EXECUTOR,
    }
    assert log.of("in_executor").started.executor == "ThreadPoolExecutor own"
    assert log.of("in_executor").started.mode is Mode.ANY_THREAD
    place = log.of("in_executor").place
    assert place is not None
    assert place.thread_name.startswith("own")


def test_reasons_of_async_to_sync(log: Log) -> None:
    async def in_parent() -> None: ...
    async def in_context() -> None: ...
    async def in_new_loop() -> None: ...
    async def in_portal() -> None: ...

    async def main() -> None:
        await sync_to_async(async_to_sync(in_parent))()

    asyncio.run(main())
    with AsyncSingleThreadContext():
        async_to_sync(in_context)()
    async_to_sync(in_new_loop, force_new_loop=True)()
    with start_blocking_portal() as portal:
        portal.call(in_portal)
    expected = {
        "in_parent": (Mode.ANY_LOOP, Reason.PARENT_LOOP),
        "in_context": (Mode.ANY_LOOP, Reason.SINGLE_THREAD_CONTEXT),
        "in_new_loop": (Mode.NEW_LOOP, Reason.NEW_LOOP),
        "in_portal": (Mode.BOUND_LOOP, Reason.BOUND_LOOP),
    }
    for name, (mode, reason) in expected.items():
        event = next(
            event
            for event in log.ends
            if event.started.name.endswith(f".{name}") and event.started.direction is Direction.ASYNC_TO_SYNC
        )
        assert (event.started.mode, event.started.reason) == (mode, reason)


# Outcomes.


@pytest.mark.asyncio
async def test_what_is_raised(log: Log) -> None:
    with pytest.raises(LookupError, match="no such thing") as info:
        await sync_to_async(fails)()
    event = log.of("fails")
    assert event.outcome is Outcome.RAISED
    assert event.error is info.value
    assert event.ran is not None


def test_what_async_code_raises(log: Log) -> None:
    async def afails() -> None:
        raise LookupError

    with pytest.raises(LookupError) as info:
        async_to_sync(afails)()
    assert log.of("afails").outcome is Outcome.RAISED
    assert log.of("afails").error is info.value


@pytest.mark.asyncio
async def test_a_refused_call(log: Log) -> None:
    token = SyncToAsync.deadlock_context.set(True)
    try:
        with pytest.raises(RuntimeError, match="would deadlock"):
            await sync_to_async(leaf)()
    finally:
        SyncToAsync.deadlock_context.reset(token)
    event = log.of("leaf")
    assert event.outcome is Outcome.RAISED
    assert event.place is event.began is event.ran is None
    assert event.queued == event.time - event.started.time


@pytest.mark.asyncio
async def test_a_call_cancelled_while_it_queues(log: Log) -> None:
    entered, leave = threading.Event(), threading.Event()

    def holds() -> None:
        entered.set()
        assert leave.wait(20)

    first = asyncio.create_task(sync_to_async(holds)())
    await asyncio.to_thread(entered.wait, 20)
    second = asyncio.create_task(sync_to_async(leaf)())
    while len(log.starts) < 2:
        await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    leave.set()
    await first
    event = log.of("leaf")
    assert event.outcome is Outcome.CANCELLED
    assert event.began is None


@pytest.mark.asyncio
async def test_a_call_abandoned_while_it_runs(log: Log) -> None:
    entered, leave = threading.Event(), threading.Event()

    def holds() -> None:
        entered.set()
        assert leave.wait(20)

    task = asyncio.create_task(sync_to_async(holds)())
    await asyncio.to_thread(entered.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    event = log.of("holds")
    leave.set()
    assert event.outcome is Outcome.ABANDONED
    assert event.began is not None
    assert event.ran is None


# Names.


class Model:
    def save(self) -> None: ...

    async def asave(self) -> None: ...

    def __call__(self) -> None: ...


@pytest.mark.asyncio
async def test_names(log: Log) -> None:
    await sync_to_async(Model().save)()
    await sync_to_async(functools.partial(functools.partial(leaf)))()
    await sync_to_async(Model())()
    await sync_to_async(async_to_sync(Model().asave))()
    assert [event.started.name.removeprefix(f"{HERE}.") for event in log.ends] == [
        "Model.save",
        "leaf",
        "Model",
        "Model.asave",
        "Model.asave",
    ]


def rows() -> Generator[int]:
    yield from range(2)


async def arows() -> AsyncGenerator[int]:
    yield 1


@contextlib.contextmanager
def transaction() -> Generator[int]:
    yield 1


@contextlib.asynccontextmanager
async def atransaction() -> AsyncGenerator[int]:
    yield 1


def test_steps_of_iterators_and_context_managers_have_the_name_of_what_made_them(log: Log) -> None:
    async def main() -> None:
        assert [row async for row in sync_to_async(rows)()] == [0, 1]
        async with sync_to_async(transaction)() as value:
            assert value == 1

    asyncio.run(main())
    assert {event.started.name for event in log.ends} == {f"{HERE}.rows", f"{HERE}.transaction"}
    assert {event.started.reason for event in log.ends} == {Reason.SAME_THREAD}
    log.events.clear()
    assert list(async_to_sync(arows)()) == [1]
    with async_to_sync(atransaction)() as value:
        assert value == 1
    assert {event.started.name for event in log.ends} == {f"{HERE}.arows", f"{HERE}.atransaction"}
    assert {event.started.reason for event in log.ends} == {Reason.BOUND_LOOP}


@pytest.mark.asyncio
async def test_a_step_that_fails(log: Log) -> None:
    def broken() -> Generator[int]:
        raise LookupError
        yield

    with pytest.raises(LookupError):
        await anext(sync_to_async(broken)())
    assert log.of("broken").outcome is Outcome.RAISED
    assert isinstance(log.of("broken").error, LookupError)


# Listeners.


@pytest.mark.asyncio
async def test_each_start_has_its_end_and_events_cannot_be_changed(log: Log) -> None:
    await asyncio.gather(*(sync_to_async(leaf)() for _ in range(20)))
    assert sorted(event.id for event in log.starts) == sorted(event.started.id for event in log.ends)
    assert len({event.id for event in log.starts}) == 20
    with pytest.raises(FrozenInstanceError):
        log.starts[0].name = "other"  # type: ignore[misc]  # which is what is tested


@pytest.mark.asyncio
async def test_listeners_of_every_form() -> None:
    calls: list[str] = []

    class Starts:
        def started(self, event: CrossingStarted) -> None:
            calls.append(f"starts {event.name.rpartition('.')[2]}")

    class Ends:
        def finished(self, event: CrossingFinished) -> None:
            calls.append(f"ends {event.started.name.rpartition('.')[2]}")

    def both(event: object) -> None:
        calls.append(type(event).__name__)

    with (
        instrumentation.listening(Starts()),
        instrumentation.listening(Ends()),
        instrumentation.listening(both),
    ):
        await sync_to_async(leaf)()
    assert calls == ["starts leaf", "CrossingStarted", "ends leaf", "CrossingFinished"]


@pytest.mark.asyncio
async def test_a_listener_that_raises_is_reported_and_disturbs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[object] = []

    def broken(event: object) -> None:
        raise LookupError("a broken listener")

    with instrumentation.listening(broken), instrumentation.listening(calls.append):
        assert await sync_to_async(leaf)() != threading.get_ident()
        with pytest.raises(LookupError, match="no such thing"):
            await sync_to_async(fails)()
    assert len(calls) == 4
    reports = [record for record in caplog.records if "broken" in record.getMessage()]
    assert len(reports) == 4
    for record in reports:
        assert record.name == "asgi_sync"
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "a broken listener"


@pytest.mark.asyncio
async def test_a_listener_that_ends_the_program_does(log: Log) -> None:
    def interrupted(event: object) -> None:
        raise KeyboardInterrupt

    async def crosses() -> None:
        with instrumentation.listening(interrupted):
            await sync_to_async(leaf)()

    coroutine = crosses()
    with pytest.raises(KeyboardInterrupt):
        coroutine.send(None)


@pytest.mark.parametrize("listener", [None, 1, "started", object()])
def test_what_is_no_listener(listener: object) -> None:
    with pytest.raises(TypeError, match="a listener must have a method"):
        instrumentation.register(listener)


def test_an_async_listener_is_refused() -> None:
    async def listener(event: object) -> None: ...

    class Listener:
        async def finished(self, event: object) -> None: ...

    for each in (listener, Listener()):
        with pytest.raises(TypeError, match="a listener must be sync"):
            instrumentation.register(each)


def test_a_listener_is_registered_once() -> None:
    listener = Log()
    assert instrumentation.register(listener) is listener
    with pytest.raises(ValueError, match="is registered already"):
        instrumentation.register(listener)
    instrumentation.unregister(listener)
    with pytest.raises(ValueError, match="is not registered"):
        instrumentation.unregister(listener)


@pytest.mark.asyncio
async def test_a_listener_that_is_taken_away_hears_the_end_of_what_it_heard_the_start_of() -> None:
    log = Log()

    def takes_away() -> None:
        instrumentation.unregister(log)
        instrumentation.register(late)

    late = Log()
    instrumentation.register(log)
    await sync_to_async(takes_away)()
    await sync_to_async(leaf)()
    instrumentation.unregister(late)
    assert [event.started.name.rpartition(".")[2] for event in log.ends] == ["takes_away"]
    assert [event.started.name.rpartition(".")[2] for event in late.ends] == ["leaf"]
    assert len(late.starts) == 1


def test_the_crossings_of_a_listener_are_not_observed(log: Log) -> None:
    results: list[int] = []

    async def asks() -> int:
        return await sync_to_async(leaf)()

    def curious(event: object) -> None:
        results.append(async_to_sync(asks)())

    with instrumentation.listening(curious):
        async_to_sync(aleaf)()
    assert results == [threading.get_ident()] * 2
    assert [event.started.name.rpartition(".")[2] for event in log.ends] == ["aleaf"]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Setting:
    """Sets a context variable for the time of a crossing, as a tracer does with the current span."""

    def __init__(self) -> None:
        self.tokens: dict[int, contextvars.Token[str]] = {}

    def started(self, event: CrossingStarted) -> None:
        self.tokens[event.id] = variable.set(f"{variable.get()} {event.name.rpartition('.')[2]}")

    def finished(self, event: CrossingFinished) -> None:
        variable.reset(self.tokens.pop(event.started.id))


def test_a_variable_that_a_listener_sets_is_seen_by_the_called_code(caplog: pytest.LogCaptureFixture) -> None:
    async def asks() -> tuple[str, str]:
        return variable.get(), await sync_to_async(variable.get)()

    with instrumentation.listening(Setting()):
        assert async_to_sync(asks)() == ("unset asks", "unset asks get")
        assert variable.get() == "unset"

        async def main() -> None:
            assert await sync_to_async(async_to_sync(asks))() == ("unset asks asks", "unset asks asks get")
            assert variable.get() == "unset"

        asyncio.run(main())
    assert caplog.records == []


# The call is what it was.


@pytest.mark.asyncio
async def test_values_that_called_code_sets_come_back(log: Log) -> None:
    await sync_to_async(variable.set)("set on a thread")
    assert variable.get() == "set on a thread"


@pytest.mark.asyncio
async def test_an_overridden_handler_sees_what_it_always_does(log: Log) -> None:
    seen: list[Any] = []

    class Recording(SyncToAsync[..., Any]):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append((self, args[3].func))
            return super().thread_handler(loop, *args, **kwargs)

    bridge = Recording(leaf)
    await bridge()
    assert seen == [(bridge, leaf)]
    assert log.of("leaf").ran is not None


def test_an_overridden_main_wrap_is_asked(log: Log) -> None:
    seen: list[Any] = []

    class Recording(AsyncToSync[..., Any]):
        async def main_wrap(self, *args: Any, **kwargs: Any) -> None:
            seen.append(self)
            await super().main_wrap(*args, **kwargs)

    bridge = Recording(aleaf)
    bridge()
    assert seen == [bridge]
    assert log.of("aleaf").ran is not None


@pytest.mark.asyncio
async def test_a_replaced_call_is_asked_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    for kind in (SyncToAsync, AsyncToSync):
        original: Any = kind.__call__

        def call(self: Any, *args: Any, original: Any = original) -> Any:
            seen.append(self)
            return original(self, *args)

        monkeypatch.setattr(kind, "__call__", call)
    inner = async_to_sync(aleaf)
    outer = sync_to_async(inner)
    await outer()
    assert seen == [outer, inner]


def test_what_is_raised_again_and_again_keeps_its_traceback_short(log: Log) -> None:
    error = LookupError()

    def fails_alike() -> None:
        raise error.with_traceback(None)

    lengths: set[int] = set()
    for _ in range(3):
        with pytest.raises(LookupError) as info:
            async_to_sync(sync_to_async(fails_alike))()
        lengths.add(len(info.traceback))
    assert len(lengths) == 1


def test_an_exception_is_kept_alive_by_nobody() -> None:
    """Neither the crossing nor its events are in a cycle with it."""
    dead = threading.Event()

    class Error(Exception):
        def __del__(self) -> None:
            dead.set()

    def fails_once() -> None:
        raise Error

    def listener(event: object) -> None: ...

    gc.disable()
    try:
        with instrumentation.listening(listener):
            try:
                async_to_sync(sync_to_async(fails_once))()
            except Error:
                pass
        assert dead.wait(20)  # the worker's frames may be a moment behind
    finally:
        gc.enable()
