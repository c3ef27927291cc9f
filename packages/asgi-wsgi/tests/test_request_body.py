from __future__ import annotations

import asyncio
import io
import tracemalloc

import pytest
from wsgi_driver import STRESS, Client, Recorder, Signal, ask, hello, http_scope

from asgi_wsgi import ClientDisconnected, RequestBodyError, WSGIMiddleware, WsgiToAsgi

pytestmark = pytest.mark.asyncio

TEXT = b"first\nsecond line\n\nlast without end" * 3
WAYS = {
    "read": lambda f: [f.read(), f.read(), f.read(5)],
    "read sizes": lambda f: [f.read(3), f.read(0), f.read(10), f.read(-1), f.read(1)],
    "read None": lambda f: [f.read(None), f.read(None)],
    "read1": lambda f: [b"".join(iter(lambda: f.read1(4), b"")), f.read1(4)],
    "readline": lambda f: [f.readline() for _ in range(20)],
    "readline sizes": lambda f: [f.readline(4) for _ in range(50)],
    "readline None and 0": lambda f: [f.readline(0), f.readline(None), f.readline(-1)],
    "readlines": lambda f: [f.readlines(), f.readlines()],
    "readlines hint": lambda f: [f.readlines(10), f.readlines(1), f.readlines(None)],
    "iteration": lambda f: [list(f), list(f)],
    "next": lambda f: [next(f), next(f), f.read(2), next(f)],
    "mixed": lambda f: [f.read(2), f.readline(), f.readline(3), f.readlines(8), f.read()],
    "readinto": lambda f: [f.readinto(buffer := bytearray(11)), bytes(buffer), f.read()],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_every_way_of_reading_is_that_of_a_file(adapt_any, way, size):
    seen = []

    def app(environ, start_response):
        seen.append(WAYS[way](environ["wsgi.input"]))
        return hello(environ, start_response)

    parts = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    await ask(adapt_any(app), http_scope(method="POST"), parts)
    assert seen == [WAYS[way](io.BytesIO(TEXT))]


async def test_the_end_is_empty_for_ever(adapt_any):
    def app(environ, start_response):
        body = environ["wsgi.input"]
        assert body.read() == b"abc"
        for _ in range(3):
            assert (body.read(), body.read(10), body.readline(), body.readlines(), list(body)) == (
                b"", b"", b"", [], [],
            )  # fmt: skip
        return hello(environ, start_response)

    for length in ([], [(b"content-length", b"3")]):
        assert (
            await ask(adapt_any(app), http_scope(method="POST", headers=length), [b"ab", b"c"])
        ).status == 200


async def test_a_message_without_body_is_an_empty_body(adapt_any):
    def app(environ, start_response):
        assert environ["wsgi.input"].read() == b""
        return hello(environ, start_response)

    client = Client(adapt_any(app), body=None)
    client.inbox.put_nowait({"type": "http.request"})
    await client.run()
    assert client.body == b"hello"


async def test_a_disconnect_in_mid_upload_raises_an_oserror_in_the_application(adapt_streaming):
    seen = []

    def app(environ, start_response):
        body = environ["wsgi.input"]
        assert body.read(3) == b"abc"
        for _ in range(2):
            try:
                seen.append(body.read())
            except OSError as exc:
                seen.append(type(exc))
        return hello(environ, start_response)

    client = Client(adapt_streaming(app), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    client.disconnect()
    await client.run()
    assert seen == [ClientDisconnected, ClientDisconnected]
    assert client.messages == []


async def test_a_disconnect_in_mid_upload_ends_quietly(adapt_any, caplog):
    recorder = Recorder([])

    def app(environ, start_response):
        start_response("200 OK", [])
        recorder.blocks = iter(lambda: environ["wsgi.input"].read(10), None)
        return recorder

    client = Client(adapt_any(app), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    client.disconnect()
    await client.run()
    assert client.messages == []
    assert not caplog.records


async def test_an_incomplete_upload_never_reaches_a_buffered_application():
    client = Client(WsgiToAsgi(lambda environ, start_response: pytest.fail("called")), body=None)
    client.upload(b"abc", more=True)
    client.disconnect()
    await client.run()
    assert client.messages == []


async def test_the_application_sees_the_first_bytes_before_the_last_are_sent(adapt_streaming):
    first = Signal()
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.input"].read(3))
        first.set()
        seen.append(environ["wsgi.input"].read())
        return hello(environ, start_response)

    client = Client(adapt_streaming(app), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    task = client.start()
    await first.seen()
    client.upload(b"def")
    await task
    assert seen == [b"abc", b"def"]


async def test_the_application_can_answer_before_the_upload_ends(adapt_streaming):
    client = Client(adapt_streaming(hello), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    await client.run()
    assert client.body == b"hello"
    assert client.complete


async def test_receive_is_not_called_before_the_application_reads(adapt_streaming):
    """A server sends "100 Continue" when receive() is called for the first time."""
    asked = Signal()
    read = Signal()

    def app(environ, start_response):
        asked.set()
        read.wait()
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    client = Client(adapt_streaming(app), http_scope(method="POST"), b"abc")
    task = client.start()
    await asked.seen()
    await asyncio.sleep(0)
    assert client.received == 0
    read.set()
    await task
    assert client.received == 1
    client = await ask(adapt_streaming(hello), http_scope(method="POST"), b"abc")
    assert client.received == 0


async def test_nothing_can_be_read_past_content_length(adapt_any):
    def app(environ, start_response):
        assert environ["wsgi.input"].read() == b"abcde"
        assert environ["wsgi.input"].read() == b""
        return hello(environ, start_response)

    scope = http_scope(method="POST", headers=[(b"content-length", b"5")])
    for parts in ([b"abcdefgh"], [b"abc", b"defgh"], [b"abc", b"de", b"fgh"]):
        assert (await ask(adapt_any(app), scope, parts)).body == b"hello"


async def test_a_body_shorter_than_content_length_is_not_taken_for_complete(adapt_any):
    errors = []

    def app(environ, start_response):
        body = environ["wsgi.input"]
        start_response("200 OK", [])
        assert body.read(3) == b"abc"
        try:
            body.read()
        except OSError as exc:
            errors.append(exc)
            raise
        return []

    scope = http_scope(method="POST", headers=[(b"content-length", b"10")])
    for parts in ([b"abcde"], [b"abc", b"de"]):
        client = await ask(adapt_any(app), scope, parts)
        assert client.status == 400
    assert [type(error) for error in errors] == [RequestBodyError] * 2
    assert str(errors[0]) == "the request body ended after 5 of 10 bytes"


async def test_max_body_size_answers_413_for_an_announced_body(adapt):
    called = []

    def app(environ, start_response):
        called.append(1)
        return hello(environ, start_response)

    scope = http_scope(method="POST", headers=[(b"content-length", b"11")])
    client = await ask(adapt(app, max_body_size=10), scope, b"x" * 11)
    assert client.status == 413
    assert client.received == 0
    assert not called
    scope = http_scope(method="POST", headers=[(b"content-length", b"10")])
    assert (await ask(adapt(app, max_body_size=10), scope, b"x" * 10)).status == 200


@pytest.mark.parametrize("parts", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"x" * 10, b"x"]])
async def test_max_body_size_answers_413_for_a_body_of_unknown_length(adapt_any, parts):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    application = adapt_any(app, max_body_size=10)
    client = await ask(application, http_scope(method="POST"), parts)
    assert (client.status, client.complete) == (413, True)
    assert (await ask(application, http_scope(method="POST"), b"x" * 10)).status == 200


@pytest.mark.parametrize("size", [65536, 8192])
async def test_a_long_upload_costs_little_memory(adapt_any, size):
    total = (32 if STRESS else 8) << 20
    part = b"x" * size
    count = total // size

    def app(environ, start_response):
        length = 0
        while data := environ["wsgi.input"].read(8192):
            length += len(data)
        start_response("200 OK", [])
        return [str(length).encode()]

    sent = 0

    class Uploader(Client):
        async def receive(self):
            nonlocal sent
            sent += 1
            return {"type": "http.request", "body": part, "more_body": sent < count}

    client = Uploader(adapt_any(app), http_scope(method="POST"), body=None)
    tracemalloc.start()
    try:
        await client.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert client.body == str(count * size).encode()
    assert peak < total // 4


async def test_reading_costs_linear_time(adapt_any):
    """A line at a time, and a byte at a time, out of one large part: no part is copied for each read."""
    lines = b"0123456789abcde\n" * 60_000

    def app(environ, start_response):
        body = environ["wsgi.input"]
        count = sum(1 for _ in iter(body.readline, b""))
        assert count == 60_000
        return hello(environ, start_response)

    # Quadratic copying of 960 kB for each of 60,000 lines would be 29 GB.
    assert (await ask(adapt_any(app), http_scope(method="POST"), lines)).status == 200


async def test_a_reader_outside_of_the_request_gets_an_error(adapt_streaming):
    kept = []

    def app(environ, start_response):
        kept.append(environ["wsgi.input"])
        return hello(environ, start_response)

    await ask(adapt_streaming(app), http_scope(method="POST"), b"abc")
    with pytest.raises((OSError, ValueError)):
        await asyncio.to_thread(kept[0].read)


async def test_a_client_that_stops_uploading_is_answered_408(adapt_any):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    client = Client(adapt_any(app, client_timeout=0.05), http_scope(method="POST"), body=None)
    client.upload(b"abc", more=True)
    await client.run()
    assert (client.status, client.complete) == (408, True)


async def test_the_window_bounds_what_is_received_ahead():
    reading = Signal()

    def app(environ, start_response):
        assert environ["wsgi.input"].read(1) == b"x"
        reading.wait()
        assert len(environ["wsgi.input"].read()) == 99_999
        return hello(environ, start_response)

    application = WSGIMiddleware(app, receive_window=10_000)
    client = Client(application, http_scope(method="POST"), [b"x" * 1000] * 100)
    task = client.start()
    last = -1
    while last != client.received:
        last = client.received
        await asyncio.sleep(0.01)
    assert client.received <= 12
    reading.set()
    await task
    assert client.body == b"hello"


async def test_a_message_of_another_type_is_an_error(adapt_any):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    client = Client(adapt_any(app), body=None)
    client.inbox.put_nowait({"type": "websocket.receive"})
    with pytest.raises(ValueError, match="http\\.request"):
        await client.run()


async def test_the_file_interface_is_that_of_bufferediobase():
    seen = []

    def app(environ, start_response):
        body = environ["wsgi.input"]
        seen.extend([isinstance(body, io.BufferedIOBase), body.readable(), body.writable(), body.seekable()])
        for refused in (body.fileno, body.tell, body.detach, lambda: body.seek(0), lambda: body.write(b"x")):
            with pytest.raises(io.UnsupportedOperation):
                refused()
        with body:
            seen.extend([body.isatty(), body.flush(), iter(body) is body])
            seen.append(io.TextIOWrapper(body, "utf-8").read())
        with pytest.raises(ValueError, match="closed"):
            body.read()
        return hello(environ, start_response)

    await ask(WSGIMiddleware(app), http_scope(method="POST"), ["é".encode()[:1], "é".encode()[1:]])
    assert seen == [True, True, False, False, False, None, True, "é"]
