from __future__ import annotations

import asyncio
import gc
import os
import threading
import tracemalloc

import pytest
from wsgi_driver import STRESS, Client, ask, hello, http_scope

pytestmark = pytest.mark.asyncio

MIB = 1 << 20
BLOCKS = 3200 if STRESS else 256  # of 64 KiB: 200 MiB or 16 MiB
LIMIT = 16 * MIB if STRESS else 4 * MIB
REQUESTS = 10_000 if STRESS else 1_000


class Discarding(Client):
    """Counts what it gets instead of keeping it."""

    length = 0

    async def send(self, message):
        await asyncio.sleep(0)
        self.length += len(message.get("body", b""))


async def growth_of(client):
    gc.collect()
    tracemalloc.start()
    try:
        await client.run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_response_of_any_size_costs_little_memory(adapt_any):
    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(BLOCKS):
            yield bytearray(65536)

    client = Discarding(adapt_any(app))
    assert await growth_of(client) < LIMIT
    assert client.length == BLOCKS * 65536


async def test_an_upload_of_any_size_costs_little_memory(adapt_any):
    def app(environ, start_response):
        length = 0
        while data := environ["wsgi.input"].read(65536):
            length += len(data)
        start_response("200 OK", [])
        return [b"%d" % length]

    class Uploading(Discarding):
        left = BLOCKS
        answer = b""

        async def receive(self):
            self.left -= 1
            return {"type": "http.request", "body": bytes(65536), "more_body": self.left > 0}

        async def send(self, message):
            self.answer += message.get("body", b"")

    client = Uploading(adapt_any(app), http_scope(method="POST"), body=None)
    assert await growth_of(client) < LIMIT
    assert client.answer == b"%d" % (BLOCKS * 65536)


async def test_a_request_leaves_nothing_for_the_garbage_collector(adapt_any):
    def pieces(environ, start_response):
        start_response("200 OK", [])
        yield environ["wsgi.input"].read()
        yield b"more"

    async def requests(count):
        for app in [adapt_any(hello), adapt_any(pieces)]:
            for _ in range(count):
                await ask(app, http_scope(method="POST"), b"abc")

    await requests(2)
    gc.collect()
    gc.disable()
    try:
        await requests(100)
        # Without a GIL the last request may still be there: a thread's share in it is settled later.
        assert gc.collect() < 200
    finally:
        gc.enable()


async def test_thousands_of_requests_leave_nothing_behind(adapt):
    application = adapt(hello)

    async def requests(count):
        for _ in range(count):
            client = Client(application, http_scope(method="POST"), b"abc")
            await client.run()

    await requests(200)
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    threads = threading.active_count()
    gc.collect()
    objects = len(gc.get_objects())
    await requests(REQUESTS)
    gc.collect()
    assert len(gc.get_objects()) - objects < REQUESTS // 4
    assert threading.active_count() <= threads + 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if files:
        assert len(os.listdir("/proc/self/fd")) <= files


async def test_temporary_files_are_closed(adapt_any):
    """A ResourceWarning would be an error here."""

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"x"]

    for _ in range(3):
        assert (await ask(adapt_any(app), http_scope(method="POST"), [b"x" * 100_000] * 3)).body == b"x"
    client = Client(adapt_any(app), http_scope(method="POST"), body=None)
    client.upload(b"x" * 200_000, more=True)
    client.disconnect()
    await client.run()
    gc.collect()
