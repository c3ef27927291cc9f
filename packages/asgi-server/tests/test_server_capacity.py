"""Never more than max_applications; who is evicted, and how it says goodbye."""

import asyncio
import time

import pytest

from asgi_server.server import Backoff, StatelessServer

pytestmark = pytest.mark.asyncio


class Crowd:
    """Counts who lives at the same time, in total and for each scope."""

    def __init__(self):
        self.alive = {}
        self.most = 0
        self.received = []
        self.release = asyncio.Event()
        self.ends_after = None  # messages

    async def __call__(self, scope, receive, send):
        self.alive[scope["id"]] = self.alive.get(scope["id"], 0) + 1
        assert self.alive[scope["id"]] == 1, "two live instances for one scope"
        self.most = max(self.most, sum(self.alive.values()))
        count = 0
        try:
            while count != self.ends_after:
                message = await receive()
                if message == "block":
                    await self.release.wait()
                self.received.append((scope["id"], message))
                count += 1
        finally:
            await asyncio.sleep(0)  # an end that takes a turn of the loop
            self.alive[scope["id"]] -= 1


async def test_never_more_than_max_applications(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 10)
    for number in range(50):
        hub.put(number, "x")
        assert len(hub.application_instances) <= 10
    await until(lambda: len(crowd.received) == 50)
    assert crowd.most <= 10
    for number in range(50, 100):
        hub.put(number, "x")
        await asyncio.sleep(0)
        assert len(hub.application_instances) <= 10
    await until(lambda: len(crowd.received) == 100)
    assert crowd.most == 10


async def test_never_more_than_one_where_one_is_allowed(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 1)
    for number in range(30):
        hub.put(number % 3, number)
    await until(lambda: len(crowd.received) == 30)
    assert crowd.most == 1
    for scope_id in range(3):
        assert [number for got, number in crowd.received if got == scope_id] == list(range(scope_id, 30, 3))


async def test_evicting_an_instance_that_has_just_ended_with_messages_makes_room_too(Hub, until):
    received = []

    async def application(scope, receive, send):
        received.append(await receive())

    hub = Hub(application, 1)
    hub.put("a", 1)
    hub.put("a", 2)
    future, callback = hub.application_instances["a"]["future"], hub.application_instances["a"].task_done
    sizes = []

    def evict(_):
        hub.put("b", 3)
        sizes.append(len(hub.application_instances))

    # So that it runs when the task is done and the server has not heard of it.
    assert future.remove_done_callback(callback) == 1
    future.add_done_callback(evict)
    future.add_done_callback(callback)
    await until(lambda: sorted(received) == [1, 2, 3])
    assert sizes == [1]


async def test_the_least_recently_used_is_evicted(Hub, turn):
    hub = Hub(Crowd(), 3)
    for scope_id in "abc":
        hub.put(scope_id, "x")
    await turn()
    hub.put("a", "x")
    hub.put("d", "x")
    assert set(hub.application_instances) == {"a", "c", "d"}


async def test_a_clock_step_or_a_tie_changes_nothing(Hub, turn, monkeypatch):
    hub = Hub(Crowd(), 3)
    times = iter([1000.0, 1000.0, 5.0, 5.0, 5.0, 2000.0, 1.0])
    monkeypatch.setattr(time, "time", lambda: next(times, 1.0))
    for scope_id in "abc":
        hub.put(scope_id, "x")
    await turn()
    hub.put("a", "x")
    hub.put("d", "x")
    assert set(hub.application_instances) == {"a", "c", "d"}
    hub.application_instances["a"]["last_used"] = -1
    hub.put("e", "x")
    assert set(hub.application_instances) == {"a", "d", "e"}


async def test_an_instance_that_is_sending_is_in_use(Hub, turn):
    class Slow(Hub):
        async def application_send(self, scope, message):
            self.sent.append(scope["id"])
            await self.finish.wait()

    async def application(scope, receive, send):
        while True:
            await receive()
            if scope["id"] == "sender":
                await send("x")

    hub = Slow(application, 2)
    hub.put("sender", "x")
    hub.put("b", "x")
    await turn()
    assert hub.sent == ["sender"]
    hub.put("c", "x")
    assert set(hub.application_instances) == {"sender", "c"}
    await turn()
    hub.finish.set()
    await turn()
    # The end of the send was its last use, so c is the older one now.
    hub.put("d", "x")
    assert set(hub.application_instances) == {"sender", "d"}


async def test_if_all_are_sending_the_one_that_began_first_is_evicted(Hub, turn):
    class Slow(Hub):
        async def application_send(self, scope, message):
            await self.finish.wait()

    async def application(scope, receive, send):
        await send(await receive())

    hub = Slow(application, 2, eviction_grace=0)
    hub.put("a", "x")
    hub.put("b", "x")
    await turn()
    hub.put("c", "x")
    assert set(hub.application_instances) == {"b", "c"}


async def test_an_idle_instance_is_evicted_at_once(Hub, turn):
    hub = Hub(Crowd(), 1, eviction_grace=60)
    hub.put("a", "x")
    await turn()
    future = hub.application_instances["a"]["future"]
    hub.put("b", "x")
    await turn()
    assert future.cancelled()


async def test_eviction_lets_queued_messages_be_handled(Hub, until, events):
    crowd = Crowd()
    hub = Hub(crowd, 1, observer=events)
    for number in range(5):
        hub.put("a", number)
    hub.put("b", "x")
    assert set(hub.application_instances) == {"b"}
    await until(lambda: ("b", "x") in crowd.received)
    assert crowd.received == [*(("a", number) for number in range(5)), ("b", "x")]
    assert events.of("dropped") == []


async def test_the_grace_period_ends(Hub, until, events):
    crowd = Crowd()
    hub = Hub(crowd, 1, eviction_grace=0.05, observer=events)
    for message in ("block", "lost"):
        hub.put("a", message)
    await until(lambda: hub.application_instances["a"]["input_queue"].qsize() == 1)
    hub.put("b", "x")
    await until(lambda: crowd.received == [("b", "x")])
    reason = "not handled before its instance was cancelled (evicted, grace period over)"
    assert events.of("dropped") == [["a", "lost", reason]]


async def test_a_scope_that_is_wanted_again_waits_behind_those_that_wait_already(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 1)
    old = hub.put("a", "block")
    await until(old.empty)
    hub.put("b", 1)
    hub.put("a", 2)
    old.put_nowait(3)
    crowd.release.set()
    await until(lambda: len(crowd.received) == 4)
    assert crowd.received == [("a", "block"), ("b", 1), ("a", 2), ("a", 3)]
    assert crowd.most == 1


async def test_an_instance_that_is_wanted_again_in_its_grace_period_stays(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 2)
    queue = hub.put("a", "block")
    await until(queue.empty)
    future = hub.application_instances["a"]["future"]
    hub.delete_application_instance("a")
    assert hub.application_instances == {}
    hub.put("a", "y")
    assert hub.application_instances["a"]["future"] is future
    crowd.release.set()
    await until(lambda: ("a", "y") in crowd.received)
    assert not future.done()
    assert crowd.most <= 2


async def test_eviction_can_send_a_final_event(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 1, final_event=lambda scope_id, scope: {"type": "bye", "to": (scope_id, scope["id"])})
    hub.put("a", "x")
    await until(lambda: crowd.received)
    hub.put("b", "x")
    await until(lambda: ("b", "x") in crowd.received)
    assert crowd.received == [("a", "x"), ("a", {"type": "bye", "to": ("a", "a")}), ("b", "x")]


async def test_nothing_follows_the_final_event_and_nothing_is_lost(Hub, until):
    crowd = Crowd()
    hub = Hub(crowd, 1, final_event=lambda scope_id, scope: "bye" if scope_id == "a" else None)
    queue = hub.put("a", "block")
    await until(queue.empty)
    hub.put("b", "x")
    queue.put_nowait("after")
    crowd.release.set()
    await until(lambda: ("a", "after") in crowd.received)
    assert [message for scope_id, message in crowd.received if scope_id == "a"] == ["block", "bye", "after"]


async def test_a_final_event_that_fails_is_logged(Hub, until, caplog):
    crowd = Crowd()
    hub = Hub(crowd, 1, final_event=lambda scope_id, scope: 1 / 0)
    hub.put("a", "x")
    await until(lambda: crowd.received)
    hub.put("b", "x")
    await until(lambda: ("b", "x") in crowd.received)
    assert "final_event failed for scope 'a'" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("eager", [False, True])
async def test_an_eager_task_factory_changes_nothing(Hub, until, eager):
    if eager:
        if not hasattr(asyncio, "eager_task_factory"):
            pytest.skip("eager tasks came with Python 3.12")
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    crowd = Crowd()
    hub = Hub(crowd, 2)
    for number in range(30):
        hub.put(number % 5, number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(crowd.received) == 30)
    assert crowd.most <= 2
    assert sorted(number for _, number in crowd.received) == list(range(30))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_applications": 0}, ValueError, "max_applications must be at least 1, not 0"),
        ({"max_applications": -5}, ValueError, "max_applications must be at least 1, not -5"),
        ({"max_applications": 1.5}, TypeError, "max_applications must be an int, not 1.5"),
        ({"max_applications": "10"}, TypeError, "max_applications must be an int, not '10'"),
        ({"max_applications": True}, TypeError, "max_applications must be an int, not True"),
        ({"max_applications": None}, TypeError, "max_applications must be an int, not None"),
        ({"queue_maxsize": -1}, ValueError, "queue_maxsize must be at least 0, not -1"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be a finite positive time, not 0"),
        ({"eviction_grace": -1}, ValueError, "eviction_grace must be a finite non-negative time, not -1"),
        ({"shutdown_timeout": float("inf")}, ValueError, "shutdown_timeout must be a finite"),
        (
            {"cancel_timeout": float("nan")},
            ValueError,
            "cancel_timeout must be a finite positive time, not nan",
        ),
        ({"cancel_timeout": "1"}, TypeError, "cancel_timeout must be a number of seconds, not '1'"),
        ({"final_event": {}}, TypeError, "final_event must be a function of scope_id and scope, not {}"),
        ({"lifespan": "yes"}, ValueError, 'lifespan must be "off", "auto" or "on", not \'yes\''),
        ({"restart": 3}, TypeError, "restart must be a Backoff or None, not 3"),
    ],
)
async def test_nonsense_limits_are_refused_at_construction(arguments, error, words):
    with pytest.raises(error) as caught:
        StatelessServer(Crowd(), **arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"initial": -1}, {"factor": 0.5}, {"factor": float("nan")}, {"attempts": 0}, {"maximum": None}],
)
async def test_a_nonsense_backoff_is_refused(arguments):
    with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
        Backoff(**arguments)


async def test_eviction_and_touch_take_the_same_time_for_many_instances(Hub):
    """Counted, not measured: how many are looked at for an eviction does not depend on how many there are."""
    looked_at = 0

    class Counted(Hub):
        def delete_application_instance(self, scope_id):
            nonlocal looked_at
            looked_at += 1
            super().delete_application_instance(scope_id)

    async def application(scope, receive, send):
        await receive()

    hub = Counted(application, 2000)
    for number in range(2000):
        hub.get_or_create_application_instance(number, None)
    for number in range(2000, 2100):
        hub.get_or_create_application_instance(number, None)
    assert looked_at == 100
    assert len(hub.application_instances) == 2000
