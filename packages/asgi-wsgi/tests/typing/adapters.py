"""Checked by the type checkers, not run: what a program that uses the adapters looks like to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from asgi_wsgi import AsgiToWsgi, WSGIMiddleware, WsgiToAsgi, WsgiToAsgiInstance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"x"]


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


class Instance(WsgiToAsgiInstance):
    def build_environ(self, scope: Any, body: Any) -> dict[str, Any]:
        return super().build_environ(scope, body) | {"mine": 1}


assert_type(WSGIMiddleware(wsgi, workers=2), WSGIMiddleware)
assert_type(WsgiToAsgi(wsgi, 50), WsgiToAsgi)
assert_type(Instance(wsgi).response_started, bool)
assert_type(Instance(wsgi).response_content_length, int | None)
# Each direction takes what the other one gives.
assert_type(AsgiToWsgi(WSGIMiddleware(wsgi)), AsgiToWsgi)
assert_type(AsgiToWsgi(asgi, lifespan="on"), AsgiToWsgi)
WSGIMiddleware(AsgiToWsgi(asgi))
started: Callable[..., Any] = print
WSGIMiddleware(wsgi, workers="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsgiToWsgi(asgi, lifespan="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
