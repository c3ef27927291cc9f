"""The events of a WebSocket, and the extension that refuses the handshake with a whole HTTP response."""

# No "from __future__ import annotations" here: a TypedDict finds NotRequired only in evaluated annotations.

from collections.abc import Iterable
from typing import Literal, NotRequired, TypedDict


class WebSocketConnectEvent(TypedDict):
    """Received first: the client asks for the handshake."""

    type: Literal["websocket.connect"]


class WebSocketAcceptEvent(TypedDict):
    """Sent: the handshake is accepted."""

    type: Literal["websocket.accept"]
    subprotocol: NotRequired[str | None]
    headers: NotRequired[Iterable[tuple[bytes, bytes]]]


class WebSocketReceiveEvent(TypedDict):
    """Received: a message. Exactly one of ``bytes`` and ``text`` is there and not None."""

    type: Literal["websocket.receive"]
    bytes: NotRequired[bytes | None]
    text: NotRequired[str | None]


class WebSocketSendEvent(TypedDict):
    """Sent: a message. Exactly one of ``bytes`` and ``text`` is there and not None."""

    type: Literal["websocket.send"]
    bytes: NotRequired[bytes | None]
    text: NotRequired[str | None]


class WebSocketDisconnectEvent(TypedDict):
    """Received last: the connection is lost or closed."""

    type: Literal["websocket.disconnect"]
    code: int
    reason: NotRequired[str | None]


class WebSocketCloseEvent(TypedDict):
    """Sent: close the connection, or refuse the handshake with status 403."""

    type: Literal["websocket.close"]
    code: NotRequired[int]
    reason: NotRequired[str | None]


class WebSocketResponseStartEvent(TypedDict):
    """Sent with the extension "websocket.http.response": refuse the handshake with this status."""

    type: Literal["websocket.http.response.start"]
    status: int
    headers: NotRequired[Iterable[tuple[bytes, bytes]]]


class WebSocketResponseBodyEvent(TypedDict):
    """Sent with the extension "websocket.http.response": a part of the refusal's body."""

    type: Literal["websocket.http.response.body"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]
