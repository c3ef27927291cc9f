"""Checked by mypy --strict and pyright, not run: minimal correct applications, scopes and events."""

from collections.abc import Iterable
from typing import assert_type

from asgi_server.compatibility import guarantee_single_callable, is_double_callable
from asgi_server.typing import (
    ASGI2Application,
    ASGI3Application,
    ASGIApplication,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    LifespanScope,
    Scope,
    TLSExtension,
    WebSocketScope,
)


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    if scope["type"] == "http":
        assert_type(scope, HTTPScope)
        assert_type(scope["headers"], Iterable[tuple[bytes, bytes]])
        assert_type(scope.get("root_path", ""), str)
        event = await receive()
        if event["type"] == "http.request":
            assert_type(event.get("body", b""), bytes)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
    elif scope["type"] == "websocket":
        assert_type(scope, WebSocketScope)
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})
    else:
        assert_type(scope, LifespanScope)
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.startup.failed"})


async def extensions(scope: HTTPScope, send: ASGISendCallable) -> None:
    supported = scope.get("extensions") or {}
    if "tls" in supported:
        tls: TLSExtension = supported["tls"]
        assert_type(tls["tls_version"], int | None)
    await send({"type": "http.response.debug", "info": {"template": "x.html"}})
    await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.push", "path": "/style.css", "headers": []})
    await send({"type": "http.response.pathsend", "path": "/srv/file"})
    await send({"type": "http.response.zerocopysend", "file": 3, "offset": 0, "count": 10})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


class Old:
    def __init__(self, scope: Scope) -> None: ...

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None: ...


asgi3: ASGI3Application = application
asgi2: ASGI2Application = Old
either: list[ASGIApplication] = [application, Old]
received: list[ASGIReceiveEvent] = [
    {"type": "http.request"},
    {"type": "websocket.receive", "bytes": b""},
    {"type": "websocket.disconnect", "code": 1005},
    {"type": "lifespan.startup"},
]
sent: list[ASGISendEvent] = [{"type": "lifespan.shutdown.complete"}]
http: HTTPScope = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "headers": [],
}
websocket: WebSocketScope = {"type": "websocket", "asgi": {"version": "3.0"}, "path": "/", "headers": []}
lifespan: LifespanScope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}

assert_type(is_double_callable(application), bool)
assert callable(guarantee_single_callable(application))
