from __future__ import annotations

import asyncio
import gc
import logging
import sysconfig
import threading
import weakref

import pytest
from wsgi_driver import Client, Recorder, Signal, ask, eventually, hello, http_scope

from asgi_wsgi import ClientDisconnected, WSGIMiddleware

pytestmark = pytest.mark.asyncio

BLOCK = b"x" * 100_000
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def streaming(blocks, headers=(), on_close=None):
    """Return an application that answers with the blocks, and the recorder of its iterable."""
    recorder = Recorder(blocks, on_close)

    def app(environ, start_response):
        recorder.threads = {threading.get_ident()}
        start_response("200 OK", list(headers))
        return recorder

    return app, recorder


def endless():
    while True:
        yield BLOCK


def check_closed(recorder):
    assert recorder.closed == 1
    assert len(recorder.threads) == 1


async def test_closed_once_after_the_last_block(adapt_any):
    app, recorder = streaming([b"a", b"b"])
    client = await ask(adapt_any(app))
    assert (client.body, client.complete) == (b"ab", True)
    check_closed(recorder)


async def test_closed_once_after_an_error(adapt_any):
    def blocks():
        yield b"a"
        raise LookupError("in mid-stream")

    app, recorder = streaming(blocks())
    with pytest.raises(LookupError):
        await ask(adapt_any(app))
    check_closed(recorder)


async def test_closed_once_at_content_length(adapt_any):
    app, recorder = streaming(endless(), [("Content-Length", "1000")])
    client = await ask(adapt_any(app))
    assert (len(client.body), client.complete) == (1000, True)
    check_closed(recorder)


async def test_closed_once_after_head(adapt_any):
    app, recorder = streaming(endless())
    client = await ask(adapt_any(app), http_scope(method="HEAD"))
    assert (client.body, client.complete) == (b"", True)
    check_closed(recorder)


async def test_closed_once_when_nothing_was_started(adapt_any):
    made = []

    def app(environ, start_response):
        made.append(Recorder([b"x"]))
        return made[0]

    with pytest.raises(RuntimeError, match="never called"):
        await ask(adapt_any(app))
    check_closed(made[0])


async def test_closed_once_when_send_raises_oserror(adapt_any, caplog):
    app, recorder = streaming(endless())
    client = Client(adapt_any(app))
    client.send_error = OSError("client gone")
    await client.run()
    check_closed(recorder)
    assert not caplog.records


async def test_a_failure_of_the_server_in_send_is_raised(adapt_any):
    app, recorder = streaming(endless())
    client = Client(adapt_any(app))
    client.send_error = LookupError("a bug of the server")
    with pytest.raises(LookupError, match="a bug of the server"):
        await client.run()
    check_closed(recorder)
    client = Client(adapt_any(hello))
    client.send_error = LookupError("a bug of the server")
    with pytest.raises(LookupError):
        await client.run()


async def test_closed_once_at_a_disconnect_while_streaming(adapt_any, caplog):
    """send() is silent after a disconnect, as that of uvicorn and hypercorn is."""
    app, recorder = streaming(endless())
    client = Client(adapt_any(app))
    client.after_send = lambda message: client.disconnect() if len(client.messages) == 10 else None
    await client.run()
    check_closed(recorder)
    assert not client.complete
    assert not caplog.records


async def test_closed_once_at_a_disconnect_of_a_client_that_stalls_in_send(adapt_any):
    app, recorder = streaming(endless())
    client = Client(adapt_any(app))
    client.reading.clear()
    task = client.start()
    await client.sending.wait()
    client.disconnect()
    await task
    check_closed(recorder)
    assert client.messages == []


async def test_closed_once_when_a_stalled_client_is_given_up(adapt_any):
    app, recorder = streaming(endless())
    client = Client(adapt_any(app, client_timeout=0.05))
    client.reading.clear()
    await client.run()
    check_closed(recorder)


async def test_closed_once_when_the_task_is_cancelled(adapt_any, caplog):
    app, recorder = streaming(endless())
    client = Client(adapt_any(app))
    client.reading.clear()
    task = client.start()
    await client.sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.was_closed.seen()
    check_closed(recorder)
    assert not caplog.records


async def test_closed_once_when_cancelled_before_the_window_is_full(adapt_any):
    going = Signal()
    go_on = Signal()

    def blocks():
        yield b"small"
        going.set()
        go_on.wait()
        yield b"another"
        yield from endless()

    app, recorder = streaming(blocks())
    task = Client(adapt_any(app)).start()
    await going.seen()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.was_closed.seen()
    check_closed(recorder)


async def test_closed_once_when_cancelled_while_the_application_waits_in_read(adapt_streaming):
    reading = Signal()
    errors = []

    def blocks(body):
        yield b"first"
        reading.set()
        try:
            body.read()
        except OSError as exc:
            errors.append(type(exc))
            raise

    recorder = Recorder([])

    def app(environ, start_response):
        recorder.threads = {threading.get_ident()}
        start_response("200 OK", [])
        recorder.blocks = blocks(environ["wsgi.input"])
        return recorder

    client = Client(adapt_streaming(app), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    task = client.start()
    await reading.seen()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await recorder.was_closed.seen()
    check_closed(recorder)
    assert errors == [ClientDisconnected]


async def test_write_raises_once_the_client_is_gone(adapt_any):
    errors = []

    def app(environ, start_response):
        write = start_response("200 OK", [])
        try:
            while True:
                write(BLOCK)
        except OSError as exc:
            errors.append(type(exc))
            raise

    client = Client(adapt_any(app))
    client.after_send = lambda message: client.disconnect() if len(client.messages) == 5 else None
    await client.run()
    assert errors == [ClientDisconnected]


async def test_an_application_that_is_not_yet_called_is_not_called_after_a_cancellation(adapt):
    first = Signal()
    go_on = Signal()
    called = []

    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        first.set()
        go_on.wait()
        return hello(environ, start_response)

    options = {"workers": 1} if adapt is WSGIMiddleware else {}
    application = adapt(app, **options)
    running = Client(application, http_scope(path="/running")).start()
    await first.seen()
    waiting = Client(application, http_scope(path="/waiting")).start()
    for _ in range(10):  # it goes as far as it can before it needs the thread
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert (await running).body == b"hello"
    assert (await ask(application, http_scope(path="/next"))).body == b"hello"
    assert called == ["/running", "/next"]


async def test_the_client_sees_the_end_before_a_slow_close_finishes(adapt_any):
    go_on = Signal()
    app, recorder = streaming([b"a"], on_close=go_on.wait)
    client = Client(adapt_any(app))
    task = client.start()
    await eventually(lambda: client.complete)
    assert not task.done()
    go_on.set()
    await task
    check_closed(recorder)


async def test_a_close_that_raises_is_reported(adapt_any):
    def on_close():
        raise LookupError("in close")

    app, recorder = streaming([b"a"], on_close=on_close)
    client = Client(adapt_any(app))
    with pytest.raises(LookupError, match="in close"):
        await client.run()
    assert client.complete
    check_closed(recorder)


async def test_a_close_that_raises_after_a_cancellation_is_logged_once(adapt_any, caplog):
    def on_close():
        raise LookupError("in close")

    app, recorder = streaming(endless(), on_close=on_close)
    client = Client(adapt_any(app))
    client.reading.clear()
    task = client.start()
    await client.sending.wait()
    with caplog.at_level(logging.ERROR):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await recorder.was_closed.seen()
        await eventually(lambda: caplog.records)
    assert [(r.name, str(r.exc_info[1])) for r in caplog.records] == [("asgi_wsgi", "in close")]
    assert caplog.records[0].exc_info[1].__notes__ == ["in the WSGI request GET '/'"]


async def test_a_generator_is_closed_where_it_stands(adapt_any):
    ended = Signal()

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            yield from endless()
        finally:
            ended.set()

    client = Client(adapt_any(app))
    client.after_send = lambda message: client.disconnect() if len(client.messages) == 3 else None
    await client.run()
    await ended.seen()


async def freed(reference):
    """Wait until nothing refers to it any more: a thread lets go of it a moment after the response."""

    def is_gone():
        if FREE_THREADED:
            gc.collect()  # what two threads have used is freed when its owner gets round to it
        return reference() is None

    await eventually(is_gone)


async def test_no_task_and_no_cycle_is_left(adapt_any):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        kept.append(weakref.ref(environ["wsgi.errors_owner"]))
        return [b"x"]

    class Owner:
        pass

    def outer(environ, start_response):
        environ["wsgi.errors_owner"] = Owner()
        return app(environ, start_response)

    kept = []
    application = adapt_any(outer)
    await ask(application)
    kept.clear()
    gc.collect()
    gc.disable()
    try:
        await ask(application, http_scope(method="POST"), [b"abc", b"def"])
        await asyncio.sleep(0)
        await freed(kept[0])
    finally:
        gc.enable()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_leaves_no_cycle(adapt):
    class Error(Exception):
        pass

    def app(environ, start_response):
        raise Error

    application = adapt(app)
    with pytest.raises(Error):
        await ask(application)
    gc.collect()
    gc.disable()
    try:
        try:
            await ask(application)
        except Error as exc:
            kept = weakref.ref(exc)
        await freed(kept)
    finally:
        gc.enable()
