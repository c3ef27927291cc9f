"""Scopes as a server would make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote_to_bytes

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


def path_and_query(target: str) -> tuple[bytes, bytes]:
    """The path, percent-encoded, and the query of a request's target."""
    if not target.startswith("/"):
        raise ValueError(f"a path starts with a slash, not as in {target!r}")
    path, _, query = target.partition("?")
    return path.encode("utf-8"), query.encode("utf-8")


def build_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Pairs of bytes with the names in lower case."""
    # A mapping is iterable as well, so a type checker takes it for an iterable of pairs.
    pairs = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    return [(_to_bytes(name).lower(), _to_bytes(value)) for name, value in pairs]


def _to_bytes(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("latin-1")
    raise TypeError(f"names and values of headers are str or bytes, not {text!r}")


def connection_scope(
    scheme: str, target: tuple[bytes, bytes], headers: list[tuple[bytes, bytes]], extensions: Iterable[str]
) -> dict[str, Any]:
    """What the scopes of HTTP and WebSocket have in common."""
    path, query = target
    return {
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 49152),
        "server": ("testserver", 80),
        "extensions": {extension: {} for extension in extensions},
    }
