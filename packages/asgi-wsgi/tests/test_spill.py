from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_driver import STRESS, Client, Signal

from asgi_wsgi import WsgiToAsgi, _outbox
from asgi_wsgi._spill import Spill

pytestmark = pytest.mark.asyncio


@settings(max_examples=1000 if STRESS else 60)
@given(st.lists(st.one_of(st.binary(max_size=50), st.just({"type": "x"}), st.none())), st.integers(1, 200))
def spill_keeps_the_order(items, room):
    spill = Spill()
    taken = []
    for index, item in enumerate(items):
        spill.put(item, 10)
        if index % 3 == 0:
            taken += spill.take(room)
    while len(spill):
        taken += spill.take(room)
    spill.close()
    assert taken == [(item, 10) for item in items]


async def test_what_is_spilled_comes_back_in_order():
    spill_keeps_the_order()


async def test_write_goes_on_by_way_of_a_file_and_the_response_stays_in_order(monkeypatch):
    monkeypatch.setattr(_outbox, "MOMENT", 0.01)
    written = Signal()
    go_on = Signal()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        for number in range(300):
            write(b"%05d" % number * 1000)
        written.set()
        go_on.wait()
        for number in range(300, 600):
            yield b"%05d" % number * 1000

    client = Client(WsgiToAsgi(_calling(app), send_window=50_000))
    client.reading.clear()
    task = client.start()
    await written.seen()
    client.reading.set()
    go_on.set()
    await task
    assert client.body == b"".join(b"%05d" % number * 1000 for number in range(600))
    assert client.complete


def _calling(app):
    """Run a generator application at once, as one that calls write() runs."""

    def called(environ, start_response):
        blocks = app(environ, start_response)
        first = next(blocks)
        return iter([first, *blocks])

    return called


async def test_a_client_that_leaves_takes_the_file_with_it(monkeypatch):
    monkeypatch.setattr(_outbox, "MOMENT", 0.01)
    written = Signal()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        for _ in range(50):
            write(b"x" * 10_000)
        written.set()
        while True:
            write(b"x" * 10_000)

    client = Client(WsgiToAsgi(app, send_window=50_000))
    client.reading.clear()
    task = client.start()
    await written.seen()
    client.disconnect()
    await asyncio.wait_for(task, 60)
    assert client.messages == []
