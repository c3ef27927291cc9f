"""Tests that read like the conversation: HTTP, WebSocket and lifespan."""

import asyncio

import pytest

from asgi_server.testing import (
    HTTPConversation,
    LifespanConversation,
    UnexpectedMessageError,
    WebSocketConversation,
    WebSocketRefusedError,
)

pytestmark = pytest.mark.asyncio


def playing(*messages, receive_first=1):
    """An application that receives, then sends *messages*."""

    async def application(scope, receive, send):
        for _ in range(receive_first):
            await receive()
        for message in messages:
            await send(message)
        await receive()

    return application


START = {"type": "http.response.start", "status": 200}


async def test_an_http_scope_is_what_a_server_makes():
    http = HTTPConversation(
        playing(), "post", "/caf%C3%A9?a=1&b=%20", headers={"X-Name": "v"}, extensions=["http.response.debug"]
    )
    scope = http.scope
    assert scope["type"] == "http"
    assert scope["method"] == "POST"
    assert scope["path"] == "/café"
    assert scope["raw_path"] == b"/caf%C3%A9"
    assert scope["query_string"] == b"a=1&b=%20"
    assert scope["headers"] == [(b"x-name", b"v")]
    assert scope["extensions"] == {"http.response.debug": {}}
    assert HTTPConversation(playing(), scope={"root_path": "/app"}).scope["root_path"] == "/app"
    assert HTTPConversation(playing(), headers=[(b"A", "1"), ("a", b"2")]).scope["headers"] == [
        (b"a", b"1"),
        (b"a", b"2"),
    ]


async def test_a_request_in_parts_and_a_response_in_parts():
    async def application(scope, receive, send):
        body, more = b"", True
        while more:
            event = await receive()
            body += event["body"]
            more = event["more_body"]
        await send(START | {"headers": [(b"a", b"1"), (b"A", b"2")]})
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        await send({"type": "http.response.body", "body": body[2:]})

    async with HTTPConversation(application, "POST") as http:
        await http.send_body(b"[1,", more=True)
        await http.send_body(b"2]")
        with pytest.raises(RuntimeError, match="complete already"):
            await http.send_body(b"")
        response = await http.response_start()
        assert response.status == 200
        assert await http.body_part(response) == b"[1"
        assert await http.body_part(response) == b",2]"
        assert await http.body_part(response) is None
    assert response.header("A") == "1, 2"
    assert response.header("b") is None


async def test_a_whole_response_with_everything_that_extensions_add():
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>"]}
    debug = {"type": "http.response.debug", "info": {"x": 1}}
    push = {"type": "http.response.push", "path": "/a.css", "headers": []}
    application = playing(
        debug,
        hint,
        START | {"trailers": True},
        push,
        {"type": "http.response.body", "body": b'{"a": 1}'},
        {"type": "http.response.trailers", "headers": [(b"x", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"y", b"2")]},
    )
    async with HTTPConversation(application) as http:
        response = await http.response()
    assert response.json() == {"a": 1}
    assert response.text == '{"a": 1}'
    assert response.trailers == [(b"x", b"1"), (b"y", b"2")]
    assert response.others == [debug, hint, push]


async def test_a_file_that_the_server_would_send():
    path = {"type": "http.response.pathsend", "path": "/srv/file"}
    async with HTTPConversation(playing(START, path)) as http:
        response = await http.response()
    assert response.others == [path]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (
            [{"type": "http.response.body"}],
            "wanted the start of the response, got {'type': 'http.response.body'}",
        ),
        ([START, START], "wanted a part of the response's body"),
        (
            [START | {"trailers": True}, {"type": "http.response.body"}, START],
            "wanted the response's trailers",
        ),
    ],
)
async def test_a_wrong_order_is_an_error_that_shows_the_message(messages, words):
    with pytest.raises(UnexpectedMessageError) as caught:
        async with HTTPConversation(playing(*messages)) as http:
            await http.response()
    assert words in str(caught.value)


async def test_timeouts_say_what_was_waited_for():
    with pytest.raises(
        TimeoutError, match=r"waited 0\.01 s for the start of the response; .* Sent so far \(1\): "
    ):
        async with HTTPConversation(playing(), timeout=0.01) as http:
            await http.response()
    with pytest.raises(TimeoutError, match="for the answer to the handshake"):
        async with WebSocketConversation(playing(), timeout=0.01) as websocket:
            await websocket.connect()
    with pytest.raises(TimeoutError, match=r"for lifespan\.startup\.complete"):
        async with LifespanConversation(playing(), timeout=0.01):
            pass


async def test_a_client_that_disconnects():
    async def application(scope, receive, send):
        await receive()
        assert await receive() == {"type": "http.disconnect"}

    async with HTTPConversation(application) as http:
        await http.send_body()
        await http.disconnect()
        await http.wait()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": "no-slash"}, ValueError),
        ({"headers": {"a": 1}}, TypeError),
        ({"headers": [(None, b"x")]}, TypeError),
    ],
)
async def test_nonsense_requests_are_refused(arguments, error):
    with pytest.raises(error):
        HTTPConversation(playing(), **arguments)
    with pytest.raises(error):
        WebSocketConversation(playing(), **arguments)
    with pytest.raises(ValueError, match="method must be the name of an HTTP method, not ''"):
        HTTPConversation(playing(), "")


async def chat(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": "v2", "headers": [(b"a", b"b")]})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            assert event["code"] in (1000, 1001)
            return
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000, "reason": "asked"})
            return
        await send(
            {"type": "websocket.send"} | {key: event[key] for key in ("text", "bytes") if key in event}
        )


async def test_a_websocket_conversation():
    async with WebSocketConversation(chat, "/chat?room=1", subprotocols=("v1", "v2")) as websocket:
        assert websocket.scope["scheme"] == "ws"
        assert websocket.scope["subprotocols"] == ["v1", "v2"]
        assert await websocket.connect() == "v2"
        assert websocket.accept_headers == [(b"a", b"b")]
        await websocket.send("text")
        assert await websocket.receive() == "text"
        await websocket.send(b"bytes")
        assert await websocket.receive() == b"bytes"
        await websocket.send_json({"a": [1]})
        assert await websocket.receive_json() == {"a": [1]}
        with pytest.raises(TypeError, match="str or bytes, not 7"):
            await websocket.send(7)
        await websocket.close(1001)


async def test_a_websocket_that_the_application_closes():
    async with WebSocketConversation(chat) as websocket:
        await websocket.connect()
        await websocket.send("bye")
        with pytest.raises(UnexpectedMessageError, match="wanted a WebSocket message, got"):
            await websocket.receive()
    async with WebSocketConversation(chat) as websocket:
        await websocket.connect()
        await websocket.send("bye")
        assert await websocket.receive_close() == (4000, "asked")


async def test_a_refused_handshake():
    with pytest.raises(WebSocketRefusedError, match="refused the handshake with code 4003 'no'") as caught:
        async with WebSocketConversation(
            playing({"type": "websocket.close", "code": 4003, "reason": "no"})
        ) as websocket:
            await websocket.connect()
    assert (caught.value.code, caught.value.reason, caught.value.response) == (4003, "no", None)


async def test_a_handshake_refused_with_a_response():
    application = playing(
        {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]},
        {"type": "websocket.http.response.body", "body": b"log ", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"in"},
    )
    with pytest.raises(WebSocketRefusedError, match="with status 401") as caught:
        async with WebSocketConversation(application, extensions=["websocket.http.response"]) as websocket:
            await websocket.connect()
    assert caught.value.response.text == "log in"
    assert caught.value.response.header("a") == "b"


@pytest.mark.parametrize("message", [{}, {"text": "a", "bytes": b"b"}, {"text": None, "bytes": None}])
async def test_a_message_that_is_neither_text_nor_bytes(message):
    application = playing({"type": "websocket.accept"}, {"type": "websocket.send"} | message)
    async with WebSocketConversation(application) as websocket:
        await websocket.connect()
        with pytest.raises(UnexpectedMessageError, match="text or bytes, and not both"):
            await websocket.receive()


async def test_lifespan_by_hand_and_as_a_context():
    log = []

    async def application(scope, receive, send):
        for phase in ("startup", "shutdown"):
            event = await receive()
            log.append(event["type"])
            scope["state"][phase] = True
            await send({"type": f"lifespan.{phase}.complete"})

    async with LifespanConversation(application) as lifespan:
        assert lifespan.state == {"startup": True}
        with pytest.raises(RuntimeError, match="startup was done already"):
            await lifespan.startup()
        await lifespan.shutdown()
    assert log == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_lifespan_that_fails():
    with pytest.raises(AssertionError, match="the application's startup failed: no database"):
        async with LifespanConversation(
            playing({"type": "lifespan.startup.failed", "message": "no database"})
        ):
            pass

    async def crashing(scope, receive, send):
        raise LookupError("no lifespan")

    with pytest.raises(LookupError, match="no lifespan"):
        async with LifespanConversation(crashing):
            pass
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_an_error_in_the_test_skips_the_shutdown():
    with pytest.raises(ZeroDivisionError):
        async with LifespanConversation(playing({"type": "lifespan.startup.complete"})):
            raise ZeroDivisionError
