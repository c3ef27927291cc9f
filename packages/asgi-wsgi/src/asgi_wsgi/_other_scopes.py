"""What is not a HTTP request: lifespan, websockets, and the unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._types import Receive, Scope, Send


def clear_scope_type(scope: Any) -> str:
    """Return the type of a scope, or say what was given instead of one."""
    try:
        return str(scope["type"])
    except (TypeError, KeyError):
        raise TypeError(f"an ASGI scope is a dictionary with a 'type', not {scope!r:.200}") from None


async def answer_other_scope(
    scope: Scope, receive: Receive, send: Send, on_shutdown: Callable[[], object]
) -> None:
    """Acknowledge a lifespan, refuse a websocket.

    Raises:
        ValueError: any other type of scope; servers take an error in such a scope for "not supported".
    """
    kind = clear_scope_type(scope)
    if kind == "lifespan":
        await _live(receive, send, on_shutdown)
    elif kind == "websocket":
        # Closed before it was accepted: the server answers 403 (ASGI, WebSocket "Close").
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
    else:
        raise ValueError(f"a WSGI application serves scopes of type 'http' only, not {kind!r}")


async def _live(receive: Receive, send: Send, on_shutdown: Callable[[], object]) -> None:
    while True:  # ends with the shutdown message, or when the server cancels its lifespan task
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            on_shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
        else:
            raise ValueError(f"not a message of the lifespan protocol: {message['type']!r}")
