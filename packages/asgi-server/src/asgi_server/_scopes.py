"""The connection scopes of ASGI 3.0 and the TLS extension's part of them."""

# No "from __future__ import annotations" here: a TypedDict finds NotRequired only in evaluated annotations.

from collections.abc import Iterable
from typing import Any, Literal, NotRequired, TypedDict, Union


class ASGIVersions(TypedDict):
    """``scope["asgi"]``: the version of ASGI, and the version of the protocol's own specification."""

    version: Literal["2.0", "3.0"]
    spec_version: NotRequired[str]


class TLSExtension(TypedDict):
    """``scope["extensions"]["tls"]``: what the server knows about the TLS connection (TLS extension 0.2)."""

    server_cert: str | None
    client_cert_chain: NotRequired[Iterable[str]]
    client_cert_name: NotRequired[str | None]
    client_cert_error: NotRequired[str | None]
    tls_version: int | None
    cipher_suite: int | None


class HTTPScope(TypedDict):
    """The scope of one HTTP request (HTTP and WebSocket specification 2.5, "HTTP Connection Scope")."""

    type: Literal["http"]
    asgi: ASGIVersions
    http_version: str
    method: str
    scheme: NotRequired[str]
    path: str
    raw_path: NotRequired[bytes | None]
    query_string: bytes
    root_path: NotRequired[str]
    headers: Iterable[tuple[bytes, bytes]]
    client: NotRequired[tuple[str, int] | None]
    server: NotRequired[tuple[str, int | None] | None]
    state: NotRequired[dict[str, Any]]
    # Servers have extensions of their own, so the values are open; the one that is more than a flag is
    # TLSExtension.
    extensions: NotRequired[dict[str, Any] | None]


class WebSocketScope(TypedDict):
    """The scope of one WebSocket (HTTP and WebSocket specification 2.5, "WebSocket Connection Scope")."""

    type: Literal["websocket"]
    asgi: ASGIVersions
    http_version: NotRequired[str]
    scheme: NotRequired[str]
    path: str
    raw_path: NotRequired[bytes | None]
    query_string: NotRequired[bytes | None]
    root_path: NotRequired[str]
    headers: Iterable[tuple[bytes, bytes]]
    client: NotRequired[tuple[str, int] | None]
    server: NotRequired[tuple[str, int | None] | None]
    subprotocols: NotRequired[Iterable[str]]
    state: NotRequired[dict[str, Any]]
    extensions: NotRequired[dict[str, Any] | None]


class LifespanScope(TypedDict):
    """The scope of the event loop's life (lifespan specification 2.0, "Scope")."""

    type: Literal["lifespan"]
    asgi: ASGIVersions
    state: NotRequired[dict[str, Any]]


# Union[...] rather than |, so that typing.get_args and isinstance checks see what they saw in asgiref.typing.
WWWScope = Union[HTTPScope, WebSocketScope]  # noqa: UP007  # see above
Scope = Union[HTTPScope, WebSocketScope, LifespanScope]  # noqa: UP007  # see above
