from __future__ import annotations

import asyncio
import contextvars
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from wsgi_driver import PATIENCE, Signal

from asgi_local import Local
from asgi_wsgi import AsgiToWsgi, WSGIMiddleware

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


@pytest.fixture
def wrap():
    """Wrap applications, and close the adapters after the test."""
    made = []

    def make(application, **options):
        made.append(AsgiToWsgi(application, **options))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


def http_only(function):
    """An application without a lifespan."""

    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise ValueError("http only")
        await function(scope, receive, send)

    return application


def environ_of(**changes):
    environ = {"wsgi.input": io.BytesIO(changes.pop("body", b""))}
    setup_testing_defaults(environ)
    environ["QUERY_STRING"] = ""
    return {**environ, **changes}


class Started:
    def __init__(self):
        self.calls = []

    def __call__(self, status, headers, exc_info=None):
        self.calls.append((status, headers))
        return lambda data: None


def get(application, **changes):
    started = Started()
    iterable = application(environ_of(**changes), started)
    try:
        body = b"".join(iterable)
    finally:
        iterable.close()
    ((status, headers),) = started.calls
    return status, dict(headers), body


async def read_all(receive):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body, "disconnect"
        body += message["body"]
        if not message["more_body"]:
            return body, "complete"


@http_only
async def echo(scope, receive, send):
    body, ending = await read_all(receive)
    await send(START)
    await send({"type": "http.response.body", "body": body + b" " + ending.encode()})


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_wsgiref_validate_is_content(wrap, method):
    application = validator(wrap(echo))
    status, headers, body = get(application, REQUEST_METHOD=method, CONTENT_LENGTH="3", body=b"abc")
    assert (status, headers["content-type"]) == ("200 OK", "text/plain")
    assert body == (b"" if method == "HEAD" else b"abc complete")


def test_the_scope(wrap):
    seen = {}

    @http_only
    async def app(scope, receive, send):
        seen.update(scope)
        await echo(scope, receive, send)

    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/base",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "a=\xe9",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "example.org",
        "HTTP_X_NAME": "caf\xe9",
        "HTTP_CONTENT_LENGTH": "99",
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "",
        "wsgi.url_scheme": "https",
    }
    get(wrap(app), **environ)
    assert seen["method"] == "POST"
    assert seen["path"] == "/base/café"
    assert seen["raw_path"] == b"/base/caf%C3%A9"
    assert seen["root_path"] == "/base"
    assert seen["query_string"] == b"a=\xe9"
    assert (seen["http_version"], seen["scheme"]) == ("1.0", "https")
    assert (seen["server"], seen["client"]) == (("example.org", 8000), ("192.0.2.1", 50000))
    assert sorted(seen["headers"]) == [
        (b"content-type", b"a/b"), (b"host", b"example.org"), (b"x-name", b"caf\xe9"),
    ]  # fmt: skip
    assert seen["extensions"]["wsgi.environ"]["environ"]["SCRIPT_NAME"] == "/base"


def test_paths_that_are_not_utf8(wrap):
    seen = []

    @http_only
    async def app(scope, receive, send):
        seen.append((scope["path"], scope["raw_path"]))
        await echo(scope, receive, send)

    get(wrap(app), PATH_INFO="/caf\xe9")
    get(wrap(app), PATH_INFO="/caf\xe9", REQUEST_URI="/caf%e9?x")
    assert seen == [("/caf\ufffd", b"/caf%E9"), ("/caf\ufffd", b"/caf%e9")]


def test_the_response_is_streamed(wrap):
    go_on = asyncio.Event()
    adapter = None

    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"second"})

    adapter = wrap(app)
    iterable = adapter(environ_of(), Started())
    assert next(iterable) == b"first"
    adapter._host.loop.call_soon_threadsafe(go_on.set)
    assert list(iterable) == [b"second"]
    iterable.close()


def test_a_server_that_does_not_take_the_response_holds_the_application_up(wrap):
    sent = 0

    @http_only
    async def app(scope, receive, send):
        nonlocal sent
        await send(START)
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    iterable = wrap(app, send_window=50_000)(environ_of(), Started())
    first = next(iterable)
    last = -1
    while last != sent:
        last = sent
        threading.Event().wait(0.05)
    assert sent <= 6
    assert len(first + b"".join(iterable)) == 1_000_000
    iterable.close()


def test_the_request_is_streamed(wrap):
    """The application answers the first block before the second is there."""
    read, write = os.pipe()

    @http_only
    async def app(scope, receive, send):
        await send(START)
        while True:
            message = await receive()
            await send(
                {"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]}
            )
            if not message["more_body"]:
                return

    with open(read, "rb") as source, open(write, "wb", buffering=0) as sink:
        iterable = wrap(app)(environ_of(**{"wsgi.input": source, "CONTENT_LENGTH": "6"}), Started())
        sink.write(b"abc")
        assert next(iterable) == b"abc"
        sink.write(b"def")
        assert list(iterable) == [b"def"]
        iterable.close()


def test_the_body_is_not_read_before_the_application_asks(wrap):
    class Source(io.BytesIO):
        reads = 0

        def read(self, size=-1):
            Source.reads += 1
            return super().read(size)

        read1 = read

    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})

    get(wrap(app), **{"wsgi.input": Source(b"abc"), "CONTENT_LENGTH": "3"})
    assert Source.reads == 0


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b"abc", {"CONTENT_LENGTH": "3"}, b"abc complete"),
        (b"abcdef", {"CONTENT_LENGTH": "3"}, b"abc complete"),
        (b"abc", {"CONTENT_LENGTH": "10"}, b"abc disconnect"),
        (b"", {"CONTENT_LENGTH": "10"}, b" disconnect"),
        (b"abc", {}, b" complete"),
        (b"abc", {"CONTENT_LENGTH": "nonsense"}, b" complete"),
        (b"abc", {"wsgi.input_terminated": True}, b"abc complete"),
        (b"abc", {"HTTP_TRANSFER_ENCODING": "chunked"}, b"abc complete"),
        (b"x" * 200_000, {"HTTP_TRANSFER_ENCODING": "chunked"}, b"x" * 200_000 + b" complete"),
        (b"x" * 200_000, {"CONTENT_LENGTH": "200000"}, b"x" * 200_000 + b" complete"),
    ],
)
def test_request_bodies_end_where_they_should(wrap, body, changes, expected):
    assert get(wrap(echo), REQUEST_METHOD="POST", body=body, **changes)[2] == expected


def test_an_upload_that_breaks_off_with_an_error_is_a_disconnect(wrap):
    class Broken:
        def read(self, size):
            raise ConnectionResetError

    assert get(wrap(echo), **{"wsgi.input": Broken(), "CONTENT_LENGTH": "10"})[2] == b" disconnect"


def test_receive_tells_of_the_end(wrap):
    seen = []

    @http_only
    async def app(scope, receive, send):
        await read_all(receive)
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        seen.append(await receive())

    get(wrap(app))
    assert seen == [{"type": "http.disconnect"}]


def test_a_receive_that_is_cancelled_loses_nothing(wrap):
    read, write = os.pipe()

    @http_only
    async def app(scope, receive, send):
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await send(START)
        await send({"type": "http.response.body", "body": b"go", "more_body": True})
        body, _ = await read_all(receive)
        await send({"type": "http.response.body", "body": body})

    with open(read, "rb") as source, open(write, "wb", buffering=0) as sink:
        sink.write(b"abc")
        result = get(wrap(app), **{"wsgi.input": source, "CONTENT_LENGTH": "3"})
    assert result[2] == b"goabc"


def test_an_incomplete_response_that_is_closed_cancels_the_task(wrap):
    ended = Signal()

    @http_only
    async def app(scope, receive, send):
        try:
            await send(START)
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        finally:
            ended.set()

    adapter = wrap(app)
    for _ in range(3):
        iterable = adapter(environ_of(), Started())
        next(iterable)
        iterable.close()
        assert ended.is_set()
        ended.clear()
        iterable.close()


def test_the_task_never_outlives_its_request(wrap):
    """Work after a complete response, a background task for one, is waited for and not cancelled."""
    steps = []

    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        await asyncio.sleep(0.05)
        steps.append("worked")

    assert get(wrap(app))[2] == b"x"
    assert steps == ["worked"]


def test_an_error_before_the_response_is_raised_to_the_server(wrap):
    @http_only
    async def app(scope, receive, send):
        raise LookupError("mine")

    started = Started()
    with pytest.raises(LookupError, match="mine"):
        wrap(app)(environ_of(), started)
    assert started.calls == []


def test_an_error_in_mid_response_is_raised_to_the_server(wrap):
    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise LookupError("mine")

    iterable = wrap(app)(environ_of(), Started())
    assert next(iterable) == b"first"
    with pytest.raises(LookupError, match="mine"):
        next(iterable)
    iterable.close()


def test_an_error_after_the_response_is_logged(wrap, caplog):
    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        raise LookupError("mine")

    assert get(wrap(app))[2] == b"x"
    assert [str(record.exc_info[1]) for record in caplog.records] == ["mine"]


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([], "without sending a response"),
        ([START], "without completing its response"),
        ([START, {"type": "http.response.body", "body": b"x", "more_body": True}], "without completing"),
        ([START, START], "sent twice"),
        ([{"type": "http.response.body", "body": b"x"}], "before http.response.start"),
        ([{"type": "websocket.accept"}], "not 'websocket.accept'"),
    ],
)
def test_an_application_that_breaks_the_protocol_is_an_error(wrap, messages, match):
    @http_only
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    with pytest.raises((RuntimeError, ValueError), match=match):
        get(wrap(app))


def test_a_second_end_is_an_error_in_the_application(wrap, caplog):
    @http_only
    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.body", "body": b"y"})

    assert get(wrap(app))[2] == b"x"
    assert "after the response was complete" in str(caplog.records[0].exc_info[1])


def test_websockets_are_refused(wrap):
    assert get(wrap(echo), HTTP_UPGRADE="WebSocket", HTTP_CONNECTION="upgrade")[0] == "501 Not Implemented"


def test_hop_by_hop_headers_and_unknown_statuses(wrap):
    @http_only
    async def app(scope, receive, send):
        headers = [
            (b"connection", b"close"),
            (b"Transfer-Encoding", b"chunked"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
        ]
        await send({"type": "http.response.start", "status": 299, "headers": headers})
        await send({"type": "http.response.body"})

    started = Started()
    assert list(wrap(app)(environ_of(), started)) == []
    assert started.calls == [("299 Unknown", [("x-a", "1"), ("x-a", "2")])]


def lifespan_app(events, fail=None):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            if fail:
                await send({"type": "lifespan.startup.failed", "message": fail})
                return
            scope["state"]["answer"] = 42
            events.append("startup")
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            events.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        events.append(scope["state"]["answer"])
        scope["state"]["answer"] = 0
        await echo(scope, receive, send)

    return app


def test_the_lifespan_runs_once(wrap):
    events = []
    adapter = wrap(lifespan_app(events))
    assert events == []
    for _ in range(2):
        get(adapter)
    assert events == ["startup", 42, 42]
    adapter.close()
    adapter.close()
    assert events == ["startup", 42, 42, "shutdown"]
    get(adapter)
    assert events[4:] == ["startup", 42]


def test_an_application_that_fails_to_start_fails_every_request(wrap):
    adapter = wrap(lifespan_app([], fail="no database"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no database"):
            get(adapter)


def test_a_lifespan_can_be_required_or_left_out(wrap):
    assert get(wrap(echo, lifespan="off"))[0] == "200 OK"
    with pytest.raises(RuntimeError, match="does not support"):
        get(wrap(echo, lifespan="on"))


def test_the_lifespan_is_shut_down_when_the_process_exits():
    code = """
import sys
from asgi_wsgi import AsgiToWsgi
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
list(AsgiToWsgi(app)({"REQUEST_METHOD": "GET"}, lambda status, headers: None))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("shut down\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_its_own_loop(wrap):
    events = []
    adapter = wrap(lifespan_app(events))
    get(adapter)
    child = os.fork()
    if child == 0:
        try:
            ok = get(adapter)[0] == "200 OK" and events == ["startup", 42, "startup", 42]
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert get(adapter)[0] == "200 OK"
    assert events == ["startup", 42, 42]


def test_many_threads_share_one_loop(wrap):
    meeting = None
    loops = set()

    @http_only
    async def app(scope, receive, send):
        nonlocal meeting
        meeting = meeting or asyncio.Barrier(10)
        loops.add(id(asyncio.get_running_loop()))
        async with asyncio.timeout(PATIENCE):
            await meeting.wait()
        await echo(scope, receive, send)

    adapter = wrap(app)
    with ThreadPoolExecutor(10) as executor:
        results = list(executor.map(lambda _: get(adapter)[0], range(10)))
    assert results == ["200 OK"] * 10
    assert len(loops) == 1


def test_context_variables_of_the_server_are_seen(wrap):
    colour = contextvars.ContextVar("colour", default="none")
    seen = []

    @http_only
    async def app(scope, receive, send):
        seen.append(colour.get())
        await echo(scope, receive, send)

    colour.set("blue")
    get(wrap(app))
    assert seen == ["blue"]


def test_what_a_local_holds_on_the_thread_of_the_server_is_seen(wrap):
    local = Local()
    seen = []

    @http_only
    async def app(scope, receive, send):
        seen.append(getattr(local, "colour", None))
        await echo(scope, receive, send)

    get(wrap(app))
    local.colour = "blue"
    get(wrap(app))
    assert seen == [None, "blue"]


def test_closing_the_adapter_ends_what_runs(wrap):
    running = Signal()

    @http_only
    async def app(scope, receive, send):
        running.set()
        await asyncio.Event().wait()

    adapter = wrap(app)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(get, adapter)
        running.wait()
        adapter.close()
        with pytest.raises(RuntimeError, match="cancelled"):
            future.result(PATIENCE)


def test_there_and_back_again(wrap):
    def wsgi(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield environ["wsgi.input"].read()
        yield environ["PATH_INFO"].encode("latin-1")

    application = validator(wrap(WSGIMiddleware(wsgi)))
    status, _, body = get(
        application, REQUEST_METHOD="POST", CONTENT_LENGTH="3", body=b"abc", PATH_INFO="/caf\xc3\xa9"
    )
    assert (status, body) == ("200 OK", "abc/café".encode())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lifespan": "maybe"}, ValueError),
        ({"lifespan": True}, ValueError),
        ({"send_window": 0}, ValueError),
        ({"shutdown_timeout": 0}, ValueError),
        ({"shutdown_timeout": None}, TypeError),
        ({"loop_factory": 5}, TypeError),
    ],
)
def test_nonsense_is_refused_at_construction(options, error):
    with pytest.raises(error, match=next(iter(options))):
        AsgiToWsgi(echo, **options)
    with pytest.raises(TypeError, match="callable"):
        AsgiToWsgi(None, **options)


def test_a_loop_factory(wrap):
    made = []

    class Loop(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            made.append(self)

    assert get(wrap(echo, loop_factory=Loop))[0] == "200 OK"
    assert len(made) == 1


def test_no_thread_is_started_before_the_first_request():
    before = threading.active_count()
    partial(AsgiToWsgi, echo)()
    assert threading.active_count() == before
