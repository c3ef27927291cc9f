"""Backpressure, idle instances, other threads, lifespan, restarts and metrics."""

import asyncio
import threading
import time

import pytest

from asgi_server.server import Backoff, LifespanError, Observer, ServerClosedError

pytestmark = pytest.mark.asyncio


class Gate:
    """Handles a message when the test lets it."""

    def __init__(self):
        self.open = asyncio.Event()
        self.received = []

    async def __call__(self, scope, receive, send):
        while True:
            message = await receive()
            await self.open.wait()
            self.received.append(message)


async def test_queue_maxsize_makes_dispatch_wait(Hub, until, turn):
    gate = Gate()
    hub = Hub(gate, queue_maxsize=2)
    dispatched = []

    async def produce():
        for number in range(10):
            await hub.dispatch("a", {}, number)
            dispatched.append(number)

    producing = asyncio.create_task(produce())
    await turn(50)
    # One in hand and two that wait; before the application's first receive there are only the two.
    assert dispatched in ([0, 1], [0, 1, 2])
    queue = hub.application_instances["a"]["input_queue"]
    assert queue.full()
    with pytest.raises(asyncio.QueueFull, match="2 messages wait for scope 'a'"):
        queue.put_nowait("x")
    gate.open.set()
    await producing
    await until(lambda: gate.received == list(range(10)))


async def test_a_waiting_put_survives_the_end_of_the_instance(Hub, until):
    received = []

    async def application(scope, receive, send):
        received.append(await receive())

    hub = Hub(application, queue_maxsize=1)
    await asyncio.gather(*(hub.dispatch("a", {}, number) for number in range(20)))
    await until(lambda: len(received) == 20)
    assert received == list(range(20))


async def test_a_cancelled_put_passes_its_turn_on(Hub, until, turn):
    gate = Gate()
    hub = Hub(gate, queue_maxsize=1)
    await hub.dispatch("a", {}, 0)
    await turn()
    await hub.dispatch("a", {}, 1)
    waiting = [asyncio.create_task(hub.dispatch("a", {}, number)) for number in (2, 3, 4)]
    await turn()
    gate.open.set()
    waiting[0].cancel()
    await until(lambda: gate.received == [0, 1, 3, 4])
    assert waiting[0].cancelled()


async def test_dispatch_waits_while_others_wait_for_a_place(Hub, until, turn):
    gate = Gate()
    hub = Hub(gate, 2)
    dispatched = []

    async def produce():
        for number in range(10):
            await hub.dispatch(number, {}, number)
            dispatched.append(number)

    producing = asyncio.create_task(produce())
    await turn(50)
    assert dispatched == [0, 1, 2]
    gate.open.set()
    await producing
    await until(lambda: sorted(gate.received) == list(range(10)))


async def test_idle_timeout(Hub, until, events):
    used, idle = {}, []

    async def application(scope, receive, send):
        try:
            while True:
                await receive()
        finally:
            idle.append((scope["id"], time.monotonic() - used[scope["id"]]))

    hub = Hub(application, idle_timeout=0.2, observer=events)

    def use(scope_id):
        used[scope_id] = time.monotonic()
        hub.put(scope_id, "x")

    use("a")
    while not idle:
        use("b")
        await asyncio.sleep(0.01)
    assert idle[0][0] == "a"
    await until(lambda: not hub.application_instances)
    await until(lambda: len(events.of("ended")) == len(events.of("started")) >= 2)
    assert {scope_id for scope_id, _ in idle} == {"a", "b"}
    assert all(seconds >= 0.19 for _, seconds in idle)
    assert all(reason == "idle" for _, reason in events.of("ended"))


async def test_an_instance_that_works_is_not_idle(Hub, until):
    gate = Gate()
    hub = Hub(gate, idle_timeout=0.05)
    hub.put("a", "x")
    await asyncio.sleep(0.2)
    assert "a" in hub.application_instances
    gate.open.set()
    await until(lambda: not hub.application_instances)
    assert gate.received == ["x"]


async def test_submit_from_other_threads(Hub, until):
    gate = Gate()
    gate.open.set()
    hub = Hub(gate)
    async with hub.running():

        def produce(start):
            for number in range(start, start + 200):
                hub.submit(number % 5, {}, number).result(timeout=60)

        threads = [threading.Thread(target=produce, args=(start,)) for start in (0, 200, 400)]
        for thread in threads:
            thread.start()
        await until(lambda: not any(thread.is_alive() for thread in threads))
        await until(lambda: len(gate.received) == 600)
    assert sorted(gate.received) == list(range(600))


async def test_submit_to_a_server_that_does_not_run(Hub):
    hub = Hub(Gate())
    with pytest.raises(ServerClosedError, match="the server is not running"):
        hub.submit("a", {}, 1)
    async with hub.running():
        pass
    with pytest.raises(ServerClosedError, match="the server is not running"):
        hub.submit("a", {}, 1)


async def test_what_was_submitted_ends_with_the_server(Hub, turn):
    gate = Gate()
    hub = Hub(gate, queue_maxsize=1, shutdown_timeout=0.05)
    async with hub.running():
        futures = [hub.submit("a", {}, number) for number in range(5)]
        cancelled = hub.submit("a", {}, "cancelled")
        assert cancelled.cancel()
        await turn(20)
    results = [future.exception(timeout=0) for future in futures]
    assert results[:2] == [None, None]
    assert all(isinstance(error, ServerClosedError) for error in results[2:])
    assert "cancelled" not in gate.received


def lifespan_application(log, *, fail=None, crash=None, silent=None):
    async def application(scope, receive, send):
        if scope["type"] != "lifespan":
            log.append((scope["id"], scope.get("state"), await receive()))
            return
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        for phase in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{phase}"}
            log.append(phase)
            if phase == crash:
                raise LookupError(phase)
            if phase == silent:
                await asyncio.Event().wait()
            scope["state"]["database"] = "open"
            if phase == fail:
                await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
            else:
                await send({"type": f"lifespan.{phase}.complete"})

    return application


@pytest.mark.parametrize("mode", ["on", "auto"])
async def test_lifespan_runs_around_handle_and_gives_its_state_to_the_scopes(Hub, until, mode):
    log = []
    hub = Hub(lifespan_application(log), lifespan=mode)
    async with hub.running():
        assert log == ["startup"]
        await hub.dispatch("a", {"type": "x", "id": "a"}, 1)
    assert log == ["startup", ("a", {"database": "open"}, 1), "shutdown"]
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_lifespan_is_off_by_default(Hub):
    log = []
    hub = Hub(lifespan_application(log))
    async with hub.running():
        await hub.dispatch("a", {"type": "x", "id": "a"}, 1)
    assert log == [("a", None, 1)]


@pytest.mark.parametrize("mode", ["on", "auto"])
async def test_an_application_without_lifespan(Hub, mode, until):
    async def application(scope, receive, send):
        assert scope["type"] == "x", f"unknown scope {scope['type']}"
        await send(await receive())

    hub = Hub(application, lifespan=mode)
    if mode == "on":
        with pytest.raises(LifespanError, match="ended before it completed its lifespan startup") as caught:
            await hub.arun()
        assert isinstance(caught.value.__cause__, AssertionError)
        assert not hub.handling.is_set()
    else:
        async with hub.running():
            await hub.dispatch("a", {"type": "x"}, 1)
            await until(lambda: hub.sent == [1])


@pytest.mark.parametrize("mode", ["on", "auto"])
async def test_a_failed_startup_is_an_error_before_handle_starts(Hub, mode):
    hub = Hub(lifespan_application([], fail="startup"), lifespan=mode)
    with pytest.raises(LifespanError, match="lifespan startup failed: no database"):
        await hub.arun()
    assert not hub.handling.is_set()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"fail": "shutdown"}, "lifespan shutdown failed: no database"),
        ({"crash": "shutdown"}, "the application failed in its lifespan"),
        ({"silent": "shutdown"}, r"did not answer lifespan\.shutdown in 0\.1 s"),
        ({"silent": "startup"}, r"did not answer lifespan\.startup in 0\.1 s"),
    ],
)
async def test_a_failed_lifespan_is_an_error(Hub, behaviour, message):
    hub = Hub(lifespan_application([], **behaviour), lifespan="on", lifespan_timeout=0.1)
    hub.finish.set()
    with pytest.raises(LifespanError, match=message):
        await hub.arun()
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_handle_is_restarted_with_backoff_when_asked(Hub, events, caplog):
    class Flaky(Hub):
        runs = 0

        async def handle(self):
            self.runs += 1
            if self.runs < 4:
                raise ConnectionError(f"lost {self.runs}")

    hub = Flaky(Gate(), restart=Backoff(initial=0.01, factor=2), observer=events)
    await asyncio.wait_for(hub.arun(), 60)
    assert hub.runs == 4
    delays = [(str(error), attempt, delay) for error, attempt, delay in events.of("restarting")]
    assert delays == [("lost 1", 1, 0.01), ("lost 2", 2, 0.02), ("lost 3", 3, 0.04)]
    assert "handle() failed; restart 3 in 0.04 s" in caplog.text


async def test_restarts_are_counted_and_end(Hub):
    class Broken(Hub):
        runs = 0

        async def handle(self):
            self.runs += 1
            raise ConnectionError(f"lost {self.runs}")

    hub = Broken(Gate(), restart=Backoff(initial=0, attempts=3))
    with pytest.raises(ConnectionError, match="lost 4"):
        await asyncio.wait_for(hub.arun(), 60)
    healthy = Broken(Gate(), restart=Backoff(initial=0, attempts=3, reset_after=0))
    task = asyncio.create_task(healthy.arun())
    await asyncio.sleep(0.05)
    healthy.stop()
    await asyncio.wait_for(task, 60)
    assert healthy.runs > 4


async def test_a_handle_that_fails_when_it_is_stopped_is_not_restarted(Hub):
    class Rude(Hub):
        runs = 0

        async def handle(self):
            self.runs += 1
            try:
                await super().handle()
            except asyncio.CancelledError:
                raise ConnectionError("lost while stopping") from None

    hub = Rude(Gate(), restart=Backoff(initial=0))
    task = asyncio.create_task(hub.arun())
    await hub.handling.wait()
    hub.stop()
    with pytest.raises(ConnectionError, match="lost while stopping"):
        await asyncio.wait_for(task, 60)
    assert hub.runs == 1


async def test_handle_is_not_restarted_unless_asked(Hub):
    class Broken(Hub):
        async def handle(self):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await Broken(Gate()).arun()


async def test_instances_outlive_a_restart_of_handle(Hub, until):
    class Flaky(Hub):
        runs = 0

        async def handle(self):
            self.runs += 1
            self.put("a", self.runs)
            if self.runs < 3:
                raise ConnectionError

    gate = Gate()
    gate.open.set()
    events = []

    class Starts(Observer):
        def instance_started(self, scope_id):
            events.append(scope_id)

    await Flaky(gate, restart=Backoff(initial=0.001), observer=Starts()).arun()
    assert gate.received == [1, 2, 3]
    assert events == ["a"]


async def test_the_observer_hears_of_everything(Hub, until, events):
    async def application(scope, receive, send):
        if await receive() == "crash":
            raise LookupError

    hub = Hub(application, observer=events)
    hub.put("a", "x")
    hub.put("b", "crash")
    await until(lambda: len(events.of("ended")) == 2)
    assert events.of("started") == [["a"], ["b"]]
    assert sorted(events.of("ended")) == [["a", "returned"], ["b", "failed"]]
    Observer().instance_started("a")
    Observer().instance_ended("a", "returned", 1.0)
    Observer().instance_stuck("a", "evicted")
    Observer().message_dropped("a", {}, "x", "why")
    Observer().handler_restarting(LookupError(), 1, 0.1)
