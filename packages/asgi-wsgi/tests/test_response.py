from __future__ import annotations

import sys

import pytest
from wsgi_driver import Recorder, ask, http_scope

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi

pytestmark = pytest.mark.asyncio


async def test_start_response_returns_write(adapt_any):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    client = await ask(adapt_any(app))
    assert client.body == b"one two three"
    assert client.complete


async def test_start_response_sends_nothing_itself(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])
        raise LookupError("after start_response")

    client = None
    with pytest.raises(LookupError):
        client = await ask(adapt(app))
    assert client is None


async def test_start_response_may_be_called_in_the_first_next(adapt_any):
    def app(environ, start_response):
        start_response("201 Created", [])
        yield b"lazy"

    client = await ask(adapt_any(app))
    assert (client.status, client.body) == (201, b"lazy")


async def test_start_response_may_be_called_after_an_empty_block(adapt):
    def app(environ, start_response):
        yield b""
        start_response("201 Created", [])
        yield b"late"

    client = await ask(adapt(app))
    assert (client.status, client.body) == (201, b"late")


async def test_an_error_page_replaces_what_has_not_gone_out(adapt_any):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "3"), ("X-A", "1")])
        yield b""  # nothing has gone out yet
        try:
            raise ValueError("the error")
        except ValueError:
            start_response("500 Oops", [("X-B", "2")], sys.exc_info())
        yield b"error page"

    client = await ask(adapt_any(app))
    assert (client.status, client.body) == (500, b"error page")
    assert b"x-b" in client.headers
    assert b"x-a" not in client.headers


async def test_after_the_first_bytes_exc_info_is_raised_again(adapt_any):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"gone out"
        try:
            raise LookupError("the error")
        except LookupError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    with pytest.raises(LookupError, match="the error"):
        await ask(adapt_any(app))


async def test_a_second_call_without_exc_info_is_an_error(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return [b""]

    with pytest.raises(ValueError, match="exc_info"):
        await ask(adapt(app))

    def late(environ, start_response):
        start_response("200 OK", [])
        yield b"x"
        start_response("200 OK", [])

    with pytest.raises(ValueError, match="exc_info"):
        await ask(adapt(late))


@pytest.mark.parametrize("body", [[b"x"], [], (b"x",), iter([b"x"]), iter([])])
async def test_never_calling_start_response_is_an_error(adapt, body):
    with pytest.raises(RuntimeError, match="never called start_response"):
        await ask(adapt(lambda environ, start_response: body))


async def test_header_values_are_latin1(adapt):
    def app(environ, start_response):
        start_response("200 OK", [("X-Name", "caf\xe9")])
        return [b""]

    assert (await ask(adapt(app))).headers[b"x-name"] == b"caf\xe9"


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([("X-A", "1\r\nSet-Cookie: a=b")], ValueError),
        ([("X-A", "1\nX-B: 2")], ValueError),
        ([("X-A", "1\x00")], ValueError),
        ([("X-A\r\nX-B", "1")], ValueError),
        ([("X-A: 1\r\nX-B", "1")], ValueError),
        ([("", "1")], ValueError),
        ([("X A", "1")], ValueError),
        ([("X-A", "中")], ValueError),
        ([("Content-Length", "-1")], ValueError),
        ([("Content-Length", "1_0")], ValueError),
        ([("Content-Length", "1"), ("Content-Length", "2")], ValueError),
        ([(b"X-A", "1")], TypeError),
        ([("X-A", b"1")], TypeError),
        ([("X-A", 1)], TypeError),
        ([("X-A",)], TypeError),
        ([None], TypeError),
    ],
)
async def test_headers_that_would_split_or_garble_the_response_are_refused(adapt, headers, error):
    def app(environ, start_response):
        start_response("200 OK", headers)
        return [b"x"]

    with pytest.raises(error, match=r"header|Content-Length"):
        await ask(adapt(app))


async def test_hop_by_hop_headers_are_dropped(adapt):
    def app(environ, start_response):
        names = [
            "Connection",
            "Keep-Alive",
            "TE",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "X-Kept",
        ]
        start_response("200 OK", [(name, "close") for name in names])
        return [b"x"]

    names = set((await ask(adapt(app))).headers)
    assert names - {b"content-length"} == {b"x-kept"}


async def test_a_status_without_a_reason_is_accepted(adapt):
    def app(environ, start_response):
        start_response("204", [])
        return []

    client = await ask(adapt(app))
    assert (client.status, client.complete) == (204, True)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("", ValueError),
        ("OK", ValueError),
        ("20 OK", ValueError),
        ("2000 OK", ValueError),
        ("200OK", ValueError),
        ("101 Switching Protocols", ValueError),
        ("200 OK\r\nX-A: 1", ValueError),
        ("200 O\x00K", ValueError),
        ("٢٠٠ OK", ValueError),
        (200, TypeError),
        (b"200 OK", TypeError),
        (None, TypeError),
    ],
)
async def test_a_nonsense_status_is_refused_clearly(adapt, status, error):
    def app(environ, start_response):
        start_response(status, [])
        return [b"x"]

    with pytest.raises(error, match="status"):
        await ask(adapt(app))


@pytest.mark.parametrize("kind", [list, iter])
async def test_the_body_is_clamped_at_content_length(adapt, kind):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "8")])
        return kind([b"0123", b"45", b"6789", b"more"])

    client = await ask(adapt(app))
    assert client.body == b"01234567"
    assert client.complete


async def test_iteration_stops_at_content_length(adapt):
    def blocks():
        yield b"0123"
        raise AssertionError("iterated too far")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        return blocks()

    assert (await ask(adapt(app))).body == b"0123"


@pytest.mark.parametrize("kind", [list, iter])
async def test_a_short_body_is_reported(adapt, kind):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        return kind([b"0123"])

    from wsgi_driver import Client

    client = Client(adapt(app))
    with pytest.raises(RuntimeError, match="Content-Length of 10 bytes, but its body ended after 4"):
        await client.run()
    assert not client.complete


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204"), ("GET", "304 Not Modified")]
)
@pytest.mark.parametrize("kind", [list, iter])
async def test_no_body_for_head_204_and_304(adapt, method, status, kind):
    def app(environ, start_response):
        start_response(status, [("Content-Length", "5")] if method == "HEAD" else [])
        return kind([b"12345"])

    client = await ask(adapt(app), http_scope(method=method))
    assert client.body == b""
    assert client.complete
    if method == "HEAD":
        assert client.headers[b"content-length"] == b"5"


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (["text"], "encode it first"),
        ("text", "encode it first"),
        (b"bytes", r"return \[body\]"),
        ([None], "NoneType"),
        ([1.5], "float"),
    ],
)
async def test_blocks_that_are_not_bytes_are_refused(adapt, body, match):
    def app(environ, start_response):
        start_response("200 OK", [])
        return body

    with pytest.raises(TypeError, match=match):
        await ask(adapt(app))


async def test_bytearray_and_memoryview_are_taken_for_bytes(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])
        return iter([bytearray(b"a"), memoryview(b"b")])

    assert (await ask(adapt(app))).body == b"ab"


async def test_write_refuses_text(adapt):
    def app(environ, start_response):
        start_response("200 OK", [])("text")
        return []

    with pytest.raises(TypeError, match="encode it first"):
        await ask(adapt(app))


async def test_an_error_before_the_response_reaches_the_server(adapt_any):
    def app(environ, start_response):
        raise LookupError("early")

    from wsgi_driver import Client

    client = Client(adapt_any(app), http_scope(method="PUT", path="/a\nb"))
    with pytest.raises(LookupError, match="early") as caught:
        await client.run()
    assert client.messages == []
    assert caught.value.__notes__ == ["in the WSGI request PUT '/a\\nb'"]


async def test_an_error_in_mid_stream_is_no_end_of_the_response(adapt_any):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        raise LookupError("in mid-stream")

    from wsgi_driver import Client

    client = Client(adapt_any(app))
    with pytest.raises(LookupError):
        await client.run()
    assert (client.status, client.body) == (200, b"first")
    assert not client.complete


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration("x"), StopAsyncIteration(), GeneratorExit()])
@pytest.mark.parametrize("when", ["call", "next", "close"])
async def test_exceptions_that_mean_something_else_in_a_coroutine_become_errors(adapt_any, error, when):
    if when == "next" and isinstance(error, StopIteration):
        return  # that is how iteration ends

    class Blocks:
        def __iter__(self):
            return self

        def __next__(self):
            if when == "next":
                raise error
            raise StopIteration

        def close(self):
            if when == "close":
                raise error

    def app(environ, start_response):
        start_response("200 OK", [])
        if when == "call":
            raise error
        return Blocks()

    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await ask(adapt_any(app))
    assert caught.value.__cause__ is error


async def test_a_coroutine_returned_by_mistake_is_an_error(adapt_any):
    async def app(environ, start_response):
        return [b"x"]

    with pytest.raises(TypeError, match="an async application needs no adapter"):
        await ask(adapt_any(app))


@pytest.mark.parametrize("result", [None, 5, object()])
async def test_what_cannot_be_iterated_is_an_error(adapt, result):
    def app(environ, start_response):
        start_response("200 OK", [])
        return result

    with pytest.raises(TypeError, match="must return an iterable of bytes"):
        await ask(adapt(app))


async def test_an_exception_raised_twice_has_one_note():
    error = LookupError("kept")

    def app(environ, start_response):
        raise error

    for _ in range(3):
        with pytest.raises(LookupError):
            await ask(WSGIMiddleware(app))
    assert len(error.__notes__) == 1


async def test_the_middleware_fills_in_content_length():
    def app_of(body, headers=(), status="200 OK"):
        def app(environ, start_response):
            start_response(status, list(headers))
            return body

        return WSGIMiddleware(app)

    assert (await ask(app_of([b"12", b"345"]))).headers[b"content-length"] == b"5"
    assert (await ask(app_of([]))).headers[b"content-length"] == b"0"
    assert b"content-length" not in (await ask(app_of(iter([b"12"])))).headers
    assert b"content-length" not in (await ask(app_of([], status="304 Not Modified"))).headers
    assert b"content-length" not in (await ask(app_of([]), http_scope(method="HEAD"))).headers
    assert (await ask(app_of([b"12"]), http_scope(method="HEAD"))).headers[b"content-length"] == b"2"


async def test_the_middleware_merges_messages():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"", b"a", b"b", b"", b"c"]

    client = await ask(WSGIMiddleware(app))
    assert client.messages[1:] == [{"type": "http.response.body", "body": b"abc", "more_body": False}]

    def large(environ, start_response):
        start_response("200 OK", [])
        return [b"x" * 40_000] * 5

    client = await ask(WSGIMiddleware(large))
    assert [len(m["body"]) for m in client.messages[1:]] == [40_000] * 5


async def test_wsgi_to_asgi_sends_a_message_a_block_and_a_bare_end():
    for kind in (list, iter):

        def app(environ, start_response):
            start_response("200 OK", [])
            return kind([b"", b"a", b"", b"b"])  # noqa: B023 -- called in this round

        client = await ask(WsgiToAsgi(app))
        blocks = [
            {"type": "http.response.body", "body": b, "more_body": True} for b in (b"", b"a", b"", b"b")
        ]
        start = {"type": "http.response.start", "status": 200, "headers": []}
        assert client.messages == [start, *blocks, {"type": "http.response.body"}]


async def test_a_custom_iterable_with_getitem_works(adapt):
    class Old:
        def __getitem__(self, index):
            return [b"a", b"b"][index]

    def app(environ, start_response):
        start_response("200 OK", [])
        return Old()

    assert (await ask(adapt(app))).body == b"ab"


async def test_the_list_of_headers_may_be_changed_afterwards(adapt):
    def app(environ, start_response):
        headers = [("X-A", "1")]
        start_response("200 OK", headers)
        headers.append(("X-B", "2"))
        return [b"x"]

    assert b"x-b" not in (await ask(adapt(app))).headers


async def test_call_iteration_and_close_run_on_one_thread(adapt_any):
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        made.append(Recorder([b"x" * 100_000] * 40))
        return made[0]

    client = await ask(adapt_any(app))
    assert len(client.body) == 4_000_000
    assert len(made[0].threads) == 1
    assert made[0].closed == 1
