"""Scopes over many processes: Redis Streams with a real redis-server, and workers that are really killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from _environments import ON_ONE_PYTHON

FLEET = Path(__file__).parents[1] / "examples" / "fleet"

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("redis") is None, reason="redis-py is not installed"),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="there is no redis-server on this machine"
    ),
    # redis-py leaves sockets of cancelled commands to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

if importlib.util.find_spec("redis") is not None:
    import redis.asyncio

    from asgi_server.redis_streams import Layout, RedisStreamsProducer, RedisStreamsServer

    sys.path.insert(0, str(FLEET))
    from fleet import connected, redis_server


@pytest.fixture
def url():
    with redis_server() as url:
        yield url


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (result := await condition()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(0.01)
    return result


# The full run on one interpreter; what differs between interpreters shows in a small one.
SIZE = ("20000", "500", "4") if ON_ONE_PYTHON else ("3000", "100", "2")


@pytest.mark.timeout(240)
def test_three_workers_one_killed_one_added():
    """20,000 messages over 500 scopes: nothing lost, order kept, duplicates only among the claimed."""
    messages, scopes, lease = SIZE
    size = ["--messages", messages, "--scopes", scopes, "--lease", lease]
    run = subprocess.run(
        [sys.executable, str(FLEET / "fleet.py"), "--seconds", "200", *size],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    figures = dict(re.findall(r"^ *(\w+): (.*)$", run.stdout, re.MULTILINE))
    assert figures["answered"] == figures["messages"] == messages
    assert figures["out_of_order"] == figures["pending"] == "0"
    assert int(figures["duplicates"]) <= int(figures["claimed"])
    assert int(figures["killed_answered"]) > 0
    assert int(figures["added_answered"]) > 0
    assert figures["exit_statuses"] == "[0, 0, 0]"


class Serving:
    """A server in this process, and a client beside it."""

    def __init__(self, application, url, **options):
        self.server = RedisStreamsServer(application, url, layout=LAYOUT, lease=2, **options)
        self.url = url

    async def __aenter__(self):
        self.client = await connected(self.url)
        self.producer = RedisStreamsProducer(self.client, LAYOUT)
        self.task = asyncio.create_task(self.server.arun())

        async def serving():
            return self.server.partitions or self.server._serving

        await until(serving)
        return self

    async def __aexit__(self, *error):
        self.server.stop()
        try:
            await asyncio.wait_for(self.task, 30)
        finally:
            await self.client.aclose()

    async def pending(self):
        total = 0
        for partition in range(LAYOUT.partitions):
            try:
                total += (await self.client.xpending(LAYOUT.stream(partition), "asgi"))["pending"]
            except redis.exceptions.ResponseError:
                pass  # no stream yet
        return total


LAYOUT = Layout("test", partitions=4) if importlib.util.find_spec("redis") is not None else None


async def echo(scope, receive, send):
    while True:
        message = await receive()
        if message == "crash":
            raise LookupError("crash")
        await send(message)


@pytest.mark.asyncio
async def test_messages_are_acknowledged_after_they_were_handled(url):
    gate = asyncio.Event()
    started = asyncio.Event()

    async def application(scope, receive, send):
        while True:
            await receive()
            started.set()
            await gate.wait()

    async with Serving(application, url) as serving:
        await serving.producer.send("a", {}, 1)
        await asyncio.wait_for(started.wait(), 30)
        assert await serving.pending() == 1
        gate.set()

        async def acknowledged():
            return await serving.pending() == 0

        await until(acknowledged)
        assert serving.server.claimed == 0


@pytest.mark.asyncio
async def test_failed_messages_are_copied_and_nonsense_is_too(url, caplog):
    async with Serving(echo, url) as serving:
        await serving.producer.send("a", {"x": 1}, "crash")
        await serving.producer.send("a", {"x": 1}, "fine")
        await serving.client.xadd(LAYOUT.stream(0), {"nonsense": "yes"})

        async def done():
            return (
                await serving.client.xlen(LAYOUT.failed) == 2
                and await serving.client.xlen(LAYOUT.replies) == 1
            )

        await until(done)
        failed = [fields for _, fields in await serving.client.xrange(LAYOUT.failed)]
        assert {b"nonsense": b"yes"} in failed
        assert {b"scope_id": b"a", b"scope": b'{"x": 1}', b"message": b'"crash"'} in failed
        ((_, reply),) = await serving.client.xrange(LAYOUT.replies)
        assert json.loads(reply[b"message"]) == "fine"
        assert json.loads(reply[b"scope"]) == {"x": 1}

        async def acknowledged():
            return await serving.pending() == 0

        await until(acknowledged)
    assert "is no message" in caplog.text


@pytest.mark.asyncio
async def test_what_a_worker_left_pending_is_claimed_and_served_first(url):
    received = []

    async def application(scope, receive, send):
        while True:
            received.append(await receive())

    client = await connected(url)
    producer = RedisStreamsProducer(client, LAYOUT)
    for number in range(10):
        await producer.send("a", {}, number)
    stream = LAYOUT.stream(LAYOUT.partition("a"))
    await client.xgroup_create(stream, "asgi", id="0")
    await client.xreadgroup("asgi", "a worker that died", {stream: ">"}, count=4)
    await client.aclose()
    async with Serving(application, url) as serving:

        async def done():
            return len(received) >= 10 and await serving.pending() == 0

        await until(done)
        assert received == list(range(10))
        assert serving.server.claimed == 4


@pytest.mark.asyncio
async def test_partitions_are_shared_and_handed_over_without_a_claim(url):
    received = {1: [], 2: []}

    def application(number):
        async def application(scope, receive, send):
            while True:
                received[number].append(await receive())

        return application

    async with Serving(application(1), url) as first:
        await first.producer.send_all((f"user-{number}", {}, number) for number in range(100))

        async def all_received():
            return len(received[1]) == 100

        await until(all_received)
        async with Serving(application(2), url) as second:

            async def shared():
                return len(first.server.partitions) == len(second.server.partitions) == 2

            await until(shared)
            await first.producer.send_all((f"user-{number}", {}, number) for number in range(100))

            async def received_again():
                return len(received[1]) + len(received[2]) == 200

            await until(received_again)
            assert received[2]

        async def all_back():
            return len(first.server.partitions) == 4

        await until(all_back)
        assert first.server.claimed == second.server.claimed == 0


@pytest.mark.asyncio
async def test_no_more_than_prefetch_are_taken(url):
    gate = asyncio.Event()

    async def application(scope, receive, send):
        while True:
            await receive()
            await gate.wait()

    async with Serving(application, url, prefetch=5) as serving:
        await serving.producer.send_all((f"user-{number}", {}, number) for number in range(50))

        async def five_taken():
            return await serving.pending() == 5

        await until(five_taken)
        await asyncio.sleep(0.7)  # longer than a read blocks
        assert await serving.pending() == 5
        gate.set()

        async def all_done():
            lag = [
                group["lag"]
                for partition in range(LAYOUT.partitions)
                for group in await serving.client.xinfo_groups(LAYOUT.stream(partition))
            ]
            return sum(lag) == 0 and await serving.pending() == 0

        await until(all_done)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_lost_connection_is_made_again(url, caplog):
    received = []

    async def application(scope, receive, send):
        while True:
            received.append(await receive())

    async with Serving(application, url) as serving:
        await serving.producer.send("a", {}, 1)

        async def first():
            return received == [1]

        await until(first)
        with caplog.at_level(logging.CRITICAL):
            await serving.client.client_kill_filter(_type="normal", skipme=True)
        await serving.producer.send("a", {}, 2)

        async def second():
            return received[-1] == 2

        await until(second)


@pytest.mark.asyncio
async def test_another_number_of_partitions_is_refused(url):
    client = await connected(url)
    await RedisStreamsProducer(client, Layout("other", 8)).send("a", {}, 1)
    with pytest.raises(ValueError, match="'other' has 8 partitions in this Redis, not 9"):
        await RedisStreamsProducer(client, Layout("other", 9)).send("a", {}, 1)
    with pytest.raises(ValueError, match="'other' has 8 partitions in this Redis, not 4"):
        await RedisStreamsServer(echo, url, layout=Layout("other", 4), restart=None).arun()
    await client.aclose()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"prefetch": 0}, ValueError), ({"lease": 0}, ValueError), ({"replies_maxlen": "1"}, TypeError)],
)
def test_nonsense_is_refused_at_construction(options, error):
    with pytest.raises(error, match=next(iter(options))):
        RedisStreamsServer(echo, "redis://127.0.0.1", **options)
    with pytest.raises(ValueError, match="partitions must be at least 1"):
        Layout("x", 0)
