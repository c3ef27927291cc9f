from __future__ import annotations

import asyncio
import io

import pytest
from wsgi_driver import Client, Signal, ask, eventually, hello, http_scope

pytestmark = pytest.mark.asyncio


async def test_lifespan_startup_and_shutdown_are_acknowledged(adapt):
    client = Client(adapt(hello), {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, body=None)
    client.inbox.put_nowait({"type": "lifespan.startup"})
    client.inbox.put_nowait({"type": "lifespan.shutdown"})
    await client.run()
    assert [m["type"] for m in client.messages] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_requests_are_served_after_a_shutdown_as_well(adapt):
    """One adapter may be mounted under several servers."""
    application = adapt(hello)
    assert (await ask(application)).body == b"hello"
    client = Client(application, {"type": "lifespan"}, body=None)
    client.inbox.put_nowait({"type": "lifespan.shutdown"})
    await client.run()
    assert (await ask(application)).body == b"hello"


async def test_a_strange_lifespan_message_is_an_error(adapt):
    client = Client(adapt(hello), {"type": "lifespan"})
    with pytest.raises(ValueError, match="lifespan protocol"):
        await client.run()


async def test_a_websocket_is_refused_with_a_close(adapt):
    client = Client(adapt(hello), {"type": "websocket", "path": "/"}, body=None)
    client.inbox.put_nowait({"type": "websocket.connect"})
    await client.run()
    assert [m["type"] for m in client.messages] == ["websocket.close"]
    client = Client(adapt(hello), {"type": "websocket", "path": "/"}, body=None)
    client.inbox.put_nowait({"type": "websocket.disconnect"})
    await client.run()
    assert client.messages == []


@pytest.mark.parametrize(
    ("scope", "error", "match"),
    [
        ({"type": "telnet"}, ValueError, "'telnet'"),
        ({}, TypeError, "ASGI scope"),
        (None, TypeError, "ASGI scope"),
        ("http", TypeError, "ASGI scope"),
    ],
)
async def test_unknown_scope_types_raise(adapt, scope, error, match):
    client = Client(adapt(hello))
    client.scope = scope
    with pytest.raises(error, match=match):
        await client.run()


class Upper(io.BytesIO):
    """A file that is none for the operating system."""


def file_app(make, headers=(), blksize=8192):
    opened = []

    def app(environ, start_response):
        opened.append(make())
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](opened[-1], blksize)

    return app, opened


async def test_file_wrapper_sends_a_file_and_closes_it(adapt_any, tmp_path):
    content = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(content)
    for make in (lambda: (tmp_path / "file").open("rb"), lambda: Upper(content)):
        app, opened = file_app(make)
        client = await ask(adapt_any(app))
        assert (client.body, client.complete) == (content, True)
        assert opened[0].closed


async def test_file_wrapper_takes_anything_with_read(adapt):
    class Source:
        def __init__(self):
            self.blocks = [b"ab", b"c", b""]

        def read(self, size):
            assert size >= 8192
            return self.blocks.pop(0)

    app, _ = file_app(Source)
    assert (await ask(adapt(app))).body == b"abc"


async def test_a_file_is_left_to_a_server_that_sends_paths(adapt_any, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    app, opened = file_app(lambda: path.open("rb"))
    open_while_sending = []
    client = Client(adapt_any(app), http_scope(extensions={"http.response.pathsend": {}}))
    client.after_send = lambda message: open_while_sending.append(not opened[0].closed)
    await client.run()
    assert client.messages[1:] == [{"type": "http.response.pathsend", "path": str(path)}]
    assert open_while_sending == [True, True]
    assert opened[0].closed


async def test_a_file_is_left_to_a_server_that_sends_without_copying(adapt_any, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def make():
        file = path.open("rb", buffering=0)
        file.seek(2)
        return file

    app, opened = file_app(make, [("Content-Length", "5")])
    extensions = {"http.response.pathsend": {}, "http.response.zerocopysend": {}}
    client = Client(adapt_any(app), http_scope(extensions=extensions))
    seen = []
    client.after_send = lambda message: seen.append(opened[0].closed)
    await client.run()
    message = client.messages[1]
    assert isinstance(message.pop("file"), int)
    assert message == {"type": "http.response.zerocopysend", "offset": 2, "count": 5, "more_body": True}
    assert client.messages[2]["type"] == "http.response.body"
    assert client.complete
    assert not any(seen[:2])
    assert opened[0].closed


async def test_a_part_of_a_file_is_not_sent_by_its_path(adapt, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    app, _ = file_app(lambda: path.open("rb"), [("Content-Length", "5")])
    client = await ask(adapt(app), http_scope(extensions={"http.response.pathsend": {}}))
    assert client.body == b"01234"


async def test_head_of_a_file_has_no_body(adapt, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    app, opened = file_app(lambda: path.open("rb"))
    client = await ask(adapt(app), http_scope(method="HEAD", extensions={"http.response.pathsend": {}}))
    assert (client.body, client.complete, len(client.messages)) == (b"", True, 2)
    assert opened[0].closed


async def test_a_client_that_leaves_while_its_file_is_sent(adapt_any, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    closed = Signal()

    class File(io.FileIO):
        def close(self):
            super().close()
            closed.set()

    app, _ = file_app(lambda: File(path))
    client = Client(adapt_any(app), http_scope(extensions={"http.response.zerocopysend": {}}))
    client.reading.clear()
    task = client.start()
    await client.sending.wait()
    client.disconnect()
    await task
    await closed.seen()


async def test_early_hints(adapt_any):
    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload"), ("X-Other", "1")])
        environ["wsgi.early_hints"]([])
        start_response("200 OK", [])
        yield b"x"
        with pytest.raises(RuntimeError, match="before the response"):
            environ["wsgi.early_hints"]([("Link", "late")])

    client = await ask(adapt_any(app), http_scope(extensions={"http.response.early_hint": {}}))
    assert client.messages[0] == {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    assert client.body == b"x"


async def test_early_hints_are_sent_before_the_response_is_there(adapt_any):
    go_on = Signal()

    def app(environ, start_response):
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        go_on.wait()
        return hello(environ, start_response)

    client = Client(adapt_any(app), http_scope(extensions={"http.response.early_hint": {}}))
    client.after_send = lambda message: go_on.set()
    await client.run()
    assert client.body == b"hello"


async def test_trailers(adapt_any):
    def app(environ, start_response):
        start_response("200 OK", [("Trailer", "X-Sum")])
        yield b"x"
        environ["asgi.send_trailers"]([("X-Sum", "1")])

    client = await ask(adapt_any(app), http_scope(extensions={"http.response.trailers": {}}))
    assert client.start_message["trailers"] is True
    assert client.messages[-1] == {
        "type": "http.response.trailers",
        "headers": [(b"x-sum", b"1")],
        "more_trailers": False,
    }


async def test_trailers_must_be_announced(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])
        with pytest.raises(RuntimeError, match="announced"):
            environ["asgi.send_trailers"]([("X-Sum", "1")])
        return [b"x"]

    assert (await ask(adapt(app), http_scope(extensions={"http.response.trailers": {}}))).complete


async def test_extensions_that_the_server_does_not_offer_are_not_there(adapt):
    def app(environ, start_response):
        assert "wsgi.early_hints" not in environ
        assert "asgi.send_trailers" not in environ
        return hello(environ, start_response)

    assert (await ask(adapt(app))).body == b"hello"


async def test_flushed_blocks_reach_a_waiting_client_at_once(adapt):
    """Server-sent events: a block every now and then, for ever, until the client has had enough."""
    ticks = asyncio.Queue()
    tick = Signal()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        while True:
            yield b"data: 1\n\n"
            tick.wait()
            tick.clear()

    client = Client(adapt(app))
    client.after_send = ticks.put_nowait
    task = client.start()
    await ticks.get()
    for _ in range(5):
        assert (await ticks.get())["body"] == b"data: 1\n\n"
        tick.set()
    client.disconnect()
    await eventually(lambda: (tick.set(), task.done())[1])
    await task
