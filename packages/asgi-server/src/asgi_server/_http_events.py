"""The events of an HTTP connection: the core ones, then one group for each extension."""

# No "from __future__ import annotations" here: a TypedDict finds NotRequired only in evaluated annotations.

from collections.abc import Iterable
from typing import Any, Literal, NotRequired, TypedDict


class HTTPRequestEvent(TypedDict):
    """Received: a part of the request's body."""

    type: Literal["http.request"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]


class HTTPDisconnectEvent(TypedDict):
    """Received: the client has gone, or the response is complete."""

    type: Literal["http.disconnect"]


class HTTPResponseStartEvent(TypedDict):
    """Sent: status and headers. ``trailers`` announces a later "http.response.trailers" event."""

    type: Literal["http.response.start"]
    status: int
    headers: NotRequired[Iterable[tuple[bytes, bytes]]]
    trailers: NotRequired[bool]


class HTTPResponseBodyEvent(TypedDict):
    """Sent: a part of the response's body."""

    type: Literal["http.response.body"]
    body: NotRequired[bytes]
    more_body: NotRequired[bool]


class HTTPResponseTrailersEvent(TypedDict):
    """Sent with the extension "http.response.trailers": header fields that follow the body."""

    type: Literal["http.response.trailers"]
    headers: Iterable[tuple[bytes, bytes]]
    more_trailers: NotRequired[bool]


class HTTPResponsePathsendEvent(TypedDict):
    """Sent with the extension "http.response.pathsend": the absolute path of a file, the whole body."""

    type: Literal["http.response.pathsend"]
    path: str


class HTTPResponseZeroCopySendEvent(TypedDict):
    """Sent with the extension "http.response.zerocopysend": bytes of an open file, for ``os.sendfile``.

    ``file`` is a file object that has an operating system's file descriptor, or such a descriptor's number.
    """

    type: Literal["http.response.zerocopysend"]
    file: Any
    offset: NotRequired[int]
    count: NotRequired[int]
    more_body: NotRequired[bool]


class HTTPResponseEarlyHintEvent(TypedDict):
    """Sent with the extension "http.response.early_hint": values of ``Link`` header fields (RFC 8297)."""

    type: Literal["http.response.early_hint"]
    links: Iterable[bytes]


class HTTPServerPushEvent(TypedDict):
    """Sent with the extension "http.response.push": an HTTP/2 server push."""

    type: Literal["http.response.push"]
    path: str
    headers: Iterable[tuple[bytes, bytes]]


class HTTPResponseDebugEvent(TypedDict):
    """Sent with the extension "http.response.debug", for test clients: any information about the response."""

    type: Literal["http.response.debug"]
    info: dict[str, Any]
