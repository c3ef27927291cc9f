"""What a client may try. Nothing of it raises past the adapter, hangs, or leaves anything behind."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_driver import STRESS, Client, eventually, http_scope

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi


def reader(environ, start_response):
    """Read all and answer with what was read, in several blocks; write to the log."""
    body = environ["wsgi.input"].read()
    environ["wsgi.errors"].write(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield body
    yield repr(sorted(key for key in environ if key.startswith("HTTP_"))).encode()


def liner(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.input"]


ADAPTERS = {
    "classic": WsgiToAsgi(reader),
    "middleware": WSGIMiddleware(reader, workers=4, max_body_size=50),
    "lines": WSGIMiddleware(liner, workers=4, client_timeout=0.02),
    "classic lines": WsgiToAsgi(liner, stream=True, max_body_size=50),
}

names = st.one_of(
    st.sampled_from(
        [
            b"host",
            b"content-length",
            b"Content-Length",
            b"transfer-encoding",
            b"cookie",
            b"x_a",
            b"x-a",
            b"te",
            b"",
        ]
    ),
    st.binary(max_size=8),
)
values = st.one_of(
    st.sampled_from([b"5", b"0", b"10", b"-1", b"chunked", b"a.org:99999", b"[::1"]), st.binary()
)
scopes = st.fixed_dictionaries(
    {
        "type": st.just("http"),
        "http_version": st.sampled_from(["1.0", "1.1", "2", "3"]),
        "method": st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "X-Y"]),
        "path": st.text(alphabet=st.characters(), max_size=20),
        "query_string": st.binary(max_size=20),
        "headers": st.lists(st.tuples(names, values), max_size=8),
    },
    optional={
        "root_path": st.text(alphabet=st.characters(), max_size=8),
        "raw_path": st.one_of(st.none(), st.binary(max_size=20)),
        "scheme": st.sampled_from(["http", "https"]),
        "client": st.one_of(st.none(), st.tuples(st.text(), st.integers(0, 65535))),
        "server": st.one_of(st.none(), st.tuples(st.text(), st.one_of(st.none(), st.integers(0, 65535)))),
        "state": st.just({"a": 1}),
        "extensions": st.sampled_from([{}, {"http.response.trailers": {}, "tls": {}}, None]),
    },
)
endings = st.sampled_from(
    ["complete", "disconnect", "stall", "cancel", "send fails", "leaves while it is sent to"]
)


async def one_request(application, scope, parts, ending):
    client = Client(application, scope, body=None)
    if ending == "complete":
        client.upload(*parts or [b""])
    else:
        client.upload(*parts, more=True)
    if ending == "disconnect":
        client.disconnect()
    elif ending == "send fails":
        client.send_error = OSError("gone")
        client.upload(b"")
    elif ending == "leaves while it is sent to":
        client.upload(b"")
        client.reading.clear()
    task = client.start()
    if ending == "stall" or ending == "leaves while it is sent to":
        for _ in range(3):
            await asyncio.sleep(0)
        client.reading.set()
        client.disconnect()
    elif ending == "cancel":
        for _ in range(len(parts)):
            await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        assert ending == "cancel"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return client


@pytest.mark.parametrize("adapter", ADAPTERS)
@settings(max_examples=1000 if STRESS else 60)
@given(scope=scopes, parts=st.lists(st.binary(max_size=30), max_size=4), ending=endings)
def test_whatever_a_client_sends_gets_an_answer_or_a_quiet_end(adapter, scope, parts, ending):
    client = asyncio.run(one_request(ADAPTERS[adapter], scope, parts, ending))
    if ending == "complete":
        assert client.complete
        assert client.status in (200, 400, 413)
    for message in client.messages:
        if message["type"] == "http.response.start":
            assert client.messages.count(message) == 1


header_text = st.text(alphabet=st.characters(max_codepoint=300), max_size=10)


@settings(max_examples=1000 if STRESS else 60)
@given(
    status=st.one_of(st.sampled_from(["200 OK", "204", "304 x", "404 Not Found"]), st.text(max_size=8)),
    headers=st.lists(st.tuples(header_text, header_text), max_size=4),
    blocks=st.lists(st.binary(max_size=20), max_size=6),
    classic=st.booleans(),
    write=st.booleans(),
)
def test_whatever_an_application_says_comes_out_well_formed_or_not_at_all(
    status, headers, blocks, classic, write
):
    def app(environ, start_response):
        writer = start_response(status, headers)
        if write:
            for block in blocks:
                writer(block)
            return []
        return iter(blocks)

    async def serve():
        refused = []
        client = Client(WsgiToAsgi(app) if classic else WSGIMiddleware(app, workers=1))
        try:
            await client.run()
        except (ValueError, TypeError, RuntimeError):
            refused.append(client)
        if refused:
            assert not client.complete
            return
        assert client.complete
        for name, value in client.start_message["headers"]:
            assert name == name.lower()
            assert not set(name + value) & set(b"\r\n\x00")
        expected = b"".join(blocks)
        if client.status in (204, 304):
            expected = b""
        length = client.headers.get(b"content-length")
        assert client.body == (expected if length is None else expected[: int(length)])

    asyncio.run(serve())


@pytest.mark.asyncio
async def test_nothing_a_client_does_is_logged_as_an_error(adapt_any, caplog):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        yield b"x" * 1_000_000
        yield b"x" * 1_000_000

    application = adapt_any(app, max_body_size=100)
    length = [(b"content-length", b"10")]
    with caplog.at_level(logging.WARNING):
        for headers in (
            [(b"content-length", b"a")],
            length * 3 + [(b"content-length", b"11")],
            [(b"x", b"1")] * 200,
        ):
            client = Client(application, http_scope(headers=headers))
            assert (await client.run()).status == 400
        for body in (b"x" * 101, [b"x" * 60, b"y" * 60]):
            client = Client(application, http_scope(), body)
            assert (await client.run()).status == 413
        client = Client(application, http_scope(headers=length), b"short")
        assert (await client.run()).status == 400
        for ending in ("disconnect", "leaves while it is sent to", "send fails"):
            await one_request(application, http_scope(), [b"abc"], ending)
    assert not caplog.records


@pytest.mark.asyncio
async def test_hundreds_of_slow_uploads_and_slow_readers(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])
        if environ["REQUEST_METHOD"] == "POST":
            return [environ["wsgi.input"].read()]
        return iter([b"x" * 100_000] * 30)

    application = adapt(app)
    uploads = [Client(application, http_scope(method="POST"), body=None) for _ in range(150)]
    readers = [Client(application) for _ in range(150)]
    for client in uploads:
        client.upload(b"a", more=True)
    for client in readers:
        client.reading.clear()
    tasks = [client.start() for client in (*uploads, *readers)]
    for _ in range(3):
        await eventually(lambda: all(client.inbox.empty() for client in uploads))
        for client in uploads:
            client.upload(b"b", more=True)
    for client in uploads:
        client.upload(b"")
    for client in readers:
        client.reading.set()
    await asyncio.gather(*tasks)
    assert {client.body for client in uploads} == {b"abbb"}
    assert {len(client.body) for client in readers} == {3_000_000}
