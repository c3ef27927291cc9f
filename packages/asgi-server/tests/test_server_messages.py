"""No message is lost without a word."""

import asyncio
import logging
import os
import random

import pytest

from asgi_server.server import InstanceClosedError, ServerClosedError, StatelessServer

pytestmark = pytest.mark.asyncio


def one_message_each(received):
    async def application(scope, receive, send):
        received.append((scope["id"], await receive()))

    return application


async def test_a_message_that_arrives_as_the_application_ends_starts_a_new_instance(Hub, until, events):
    received = []
    hub = Hub(one_message_each(received), observer=events)
    for number in range(20):
        hub.put("a", number)
    await until(lambda: len(received) == 20)
    assert received == [("a", number) for number in range(20)]
    assert len(events.of("started")) == 20


async def test_a_message_between_the_end_of_the_task_and_its_callback(Hub, until):
    received = []
    hub = Hub(one_message_each(received))
    queue = hub.put("a", 1)
    future = hub.application_instances["a"]["future"]
    # Callbacks run in order, so this one runs when the task is done and the server has not heard of it.
    late = asyncio.get_running_loop().create_future()

    def put_late(_):
        queue.put_nowait(2)
        late.set_result(None)

    future._callbacks  # noqa: B018  # the server's own callback is there already, so remove and add to come first
    callback = hub.application_instances["a"].task_done
    assert future.remove_done_callback(callback) == 1
    future.add_done_callback(put_late)
    future.add_done_callback(callback)
    await late
    await until(lambda: received == [("a", 1), ("a", 2)])


async def test_a_queue_that_was_kept_after_the_end_starts_a_new_instance(Hub, until):
    received = []
    hub = Hub(one_message_each(received))
    queue = hub.put("a", 1)
    await until(lambda: not hub.application_instances)
    queue.put_nowait(2)
    await until(lambda: not hub.application_instances)
    await queue.put(3)
    await until(lambda: received == [("a", 1), ("a", 2), ("a", 3)])


async def test_a_queue_that_was_kept_joins_the_instance_that_is_there(Hub, until, events):
    received = []

    async def application(scope, receive, send):
        while True:
            received.append(await receive())
            if received[-1] == "end":
                return

    hub = Hub(application, observer=events)
    old = hub.put("a", "end")
    await until(lambda: not hub.application_instances)
    new = hub.put("a", 1)
    assert new is not old
    old.put_nowait(2)
    new.put_nowait(3)
    await until(lambda: received == ["end", 1, 2, 3])
    assert len(events.of("started")) == 2


async def test_never_two_live_instances_for_one_scope(Hub, until):
    alive = set()
    received = []

    async def application(scope, receive, send):
        assert scope["id"] not in alive
        alive.add(scope["id"])
        try:
            while True:
                received.append(await receive())
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            alive.discard(scope["id"])

    hub = Hub(application, 3)
    for round_number in range(100):
        hub.put(round_number % 7, round_number)
        hub.delete_application_instance(round_number % 7)
        if round_number % 3 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(received) == 100)
    assert hub.errors == []


async def test_a_crash_loses_only_what_was_in_hand(Hub, until):
    received = []

    async def application(scope, receive, send):
        received.append(await receive())
        raise LookupError(f"crash {received[-1]}")

    hub = Hub(application)
    for number in range(3):
        hub.put("a", number)
    await until(lambda: len(hub.errors) == 3)
    assert received == [0, 1, 2]
    assert [str(error) for error, _ in hub.errors] == ["crash 0", "crash 1", "crash 2"]


@pytest.mark.parametrize("crash", [False, True])
async def test_an_application_that_receives_nothing_is_not_started_for_ever(
    Hub, until, events, caplog, crash
):
    async def application(scope, receive, send):
        if crash:
            raise LookupError

    hub = Hub(application, observer=events)
    hub.put("a", 1)
    await until(lambda: not hub.application_instances)
    assert events.of("dropped") == [["a", 1, "its instance ended without receiving anything"]]
    assert len(events.of("started")) == 1
    assert "dropped 1 message(s) of scope 'a': its instance ended without receiving anything" in caplog.text


async def test_dropped_messages_are_reported_once_to_the_observer_and_logged(Hub, until, events, caplog):
    async def application(scope, receive, send):
        await asyncio.Event().wait()

    hub = Hub(application, observer=events)
    for number in range(3):
        hub.put("a", number)
    await asyncio.sleep(0)
    hub.application_instances["a"]["future"].cancel()
    with caplog.at_level(logging.WARNING, "asgi_server.server"):
        await until(lambda: not hub.application_instances)
    reason = "its instance was cancelled by somebody else"
    assert events.of("dropped") == [["a", number, reason] for number in range(3)]
    assert len([record for record in caplog.records if "dropped" in record.message]) == 1


async def test_a_cancelled_error_that_the_application_raises_itself_loses_nothing(Hub, until):
    received = []

    async def application(scope, receive, send):
        received.append(await receive())
        raise asyncio.CancelledError

    hub = Hub(application)
    for number in range(3):
        hub.put("a", number)
    await until(lambda: received == [0, 1, 2])


async def test_what_became_of_each_message(Hub, until):
    outcomes = {}

    async def application(scope, receive, send):
        while True:
            message = await receive()
            if message == "fail":
                raise LookupError
            if message == "hang":
                await asyncio.Event().wait()

    hub = Hub(application, eviction_grace=0.01)

    async def dispatch(scope_id, message):
        await hub.dispatch(
            scope_id,
            {},
            message,
            on_settled=lambda outcome: outcomes.setdefault((scope_id, message), outcome),
        )

    for message in ("fine", "fail", "after"):
        await dispatch("a", message)
    await dispatch("b", "hang")
    await dispatch("b", "behind")
    await until(lambda: len(outcomes) == 3)
    hub.delete_application_instance("b")
    await until(lambda: len(outcomes) == 5)
    assert outcomes == {
        ("a", "fine"): "handled",
        ("a", "fail"): "failed",
        ("a", "after"): "handled",
        ("b", "hang"): "cancelled",
        ("b", "behind"): "dropped",
    }


async def test_an_on_settled_that_fails_is_logged(Hub, until, caplog):
    async def application(scope, receive, send):
        await receive()

    hub = Hub(application)
    await hub.dispatch("a", {}, 1, on_settled=lambda outcome: 1 / 0)
    await until(lambda: "on_settled('handled') failed" in caplog.text)


async def test_receiving_in_two_tasks_and_with_timeouts_loses_nothing(Hub, until):
    received = []

    async def impatient(receive):
        while True:
            try:
                async with asyncio.timeout(0.0005):
                    received.append(await receive())
            except TimeoutError:
                await asyncio.sleep(0)

    async def application(scope, receive, send):
        async with asyncio.TaskGroup() as group:
            group.create_task(impatient(receive))
            group.create_task(impatient(receive))

    hub = Hub(application)
    for number in range(300):
        hub.put("a", number)
        if number % 3 == 0:
            await asyncio.sleep(0.0003)
    await until(lambda: len(received) >= 300)
    assert sorted(received) == list(range(300))


@pytest.mark.parametrize("seed", range(300 if os.environ.get("STRESS") else 10))
async def test_every_message_is_handled_once_or_dropped_with_a_reason(Hub, until, events, seed):
    """Applications that end, crash, hang and swallow cancellation, with evictions all the time."""
    chance = random.Random(seed)
    received = []
    running = {}

    async def application(scope, receive, send):
        assert not running.get(scope["id"])
        running[scope["id"]] = True
        try:
            while True:
                message = await receive()
                received.append(message)
                await behave(chance.random())
        except EndError:
            return
        finally:
            running[scope["id"]] = False

    class EndError(Exception):
        pass

    async def behave(dice):
        if dice < 0.1:
            raise EndError
        if dice < 0.2:
            raise LookupError
        if dice < 0.22:
            await asyncio.sleep(60)
        if dice < 0.24:
            try:
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
        if dice < 0.5:
            await asyncio.sleep(0)

    hub = Hub(application, 5, eviction_grace=0.02, cancel_timeout=1, shutdown_timeout=0.5, observer=events)
    async with hub.running():
        for number in range(1000):
            await hub.dispatch(chance.randrange(20), {"id": number}, number)
            if number % 10 == 0:
                await asyncio.sleep(0)
    dropped = [message for _, message, _ in events.of("dropped")]
    assert sorted(received + dropped) == list(range(1000))
    assert hub.application_instances == {}
    assert all(isinstance(error, (LookupError, InstanceClosedError)) for error, _ in hub.errors)


async def test_after_the_shutdown_a_put_is_reported_and_a_dispatch_refused(Hub, events):
    async def application(scope, receive, send):
        while True:
            await receive()

    hub = Hub(application, observer=events)
    async with hub.running():
        queue = hub.put("a", 1)
    queue.put_nowait(2)
    await queue.put(3)
    assert events.of("dropped") == [
        ["a", 2, "the server has shut down"],
        ["a", 3, "the server has shut down"],
    ]
    with pytest.raises(ServerClosedError, match="the server has shut down"):
        await hub.dispatch("a", {}, 4)
    with pytest.raises(ServerClosedError):
        hub.get_or_create_application_instance("a", {})


async def test_the_class_can_be_used_without_arun(until):
    sent = []

    class Server(StatelessServer):
        async def application_send(self, scope, message):
            sent.append(message)

    async def application(scope, receive, send):
        await send(await receive())

    server = Server(application)
    server.get_or_create_application_instance("a", {}).put_nowait(1)
    await until(lambda: sent == [1])
