"""One adapter under several event loops, and under loops that end at a bad moment."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from wsgi_driver import PATIENCE, Client, Recorder, Signal, ask, hello, http_scope

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi, _outbox, _request_body

BLOCK = b"x" * 100_000


def test_an_adapter_is_built_without_a_loop(adapt):
    application = adapt(hello)
    assert asyncio.run(ask(application)).body == b"hello"


def test_one_adapter_works_under_one_loop_after_another(adapt):
    application = adapt(hello)
    for _ in range(5):
        assert asyncio.run(ask(application)).body == b"hello"


def test_one_adapter_works_under_several_loops_at_once(adapt):
    meeting = threading.Barrier(4, timeout=PATIENCE)

    def app(environ, start_response):
        return hello(environ, start_response)

    application = adapt(app)

    def serve():
        async def requests():
            meeting.wait()
            return [(await ask(application)).body for _ in range(20)]

        return asyncio.run(requests())

    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(serve) for _ in range(4)]:
            assert future.result(PATIENCE) == [b"hello"] * 20


def run_until_stalled(loop, client):
    task = loop.create_task(client.run())
    loop.run_until_complete(client.sending.wait())
    return task


@pytest.mark.parametrize("adapter", [WSGIMiddleware, WsgiToAsgi])
def test_a_loop_that_ends_in_mid_response_closes_the_iterable(adapter):
    recorder = Recorder(iter(lambda: BLOCK, None))

    def app(environ, start_response):
        start_response("200 OK", [])
        return recorder

    client = Client(adapter(app))
    client.reading.clear()
    with asyncio.Runner() as runner:
        run_until_stalled(runner.get_loop(), client)
    recorder.was_closed.wait()
    assert recorder.closed == 1


_dropped = []


@pytest.mark.parametrize("where", ["sending", "reading"])
def test_a_thread_does_not_wait_for_a_loop_that_was_closed_without_cancelling(where, monkeypatch):
    monkeypatch.setattr(_outbox, "LOOK_INTERVAL", 0.02)
    monkeypatch.setattr(_request_body, "LOOK_INTERVAL", 0.02)
    ended = Signal()
    reading = Signal()

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            if where == "reading":
                reading.set()
                environ["wsgi.input"].read()
            while True:
                yield BLOCK
        finally:
            ended.set()

    client = Client(WSGIMiddleware(app), http_scope(method="POST"), body=None)
    client.reading.clear()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # "Task was destroyed but it is pending!"
    if where == "reading":
        task = loop.create_task(client.run())
        loop.run_until_complete(reading.seen())
    else:
        task = run_until_stalled(loop, client)
    loop.close()
    ended.wait()
    for pending in (task, *asyncio.all_tasks(loop)):
        pending._log_destroy_pending = False
        # Cleaning up without a loop, the queue in the client's receive() would complain.
        _dropped.append(pending)
