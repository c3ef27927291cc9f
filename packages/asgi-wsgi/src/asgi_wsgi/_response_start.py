"""Checking what an application gives to ``start_response`` (PEP 3333, "The start_response() Callable")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._types import HeaderPairs

_STATUS = re.compile(r"([2-9][0-9]{2})(?: [^\r\n\x00]*)?\Z")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_UNSAFE = re.compile(r"[\r\n\x00]")

# Belong to one connection, which is the server's affair (RFC 9110, 7.6.1; wsgiref.util.is_hop_by_hop).
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip

# Names as applications write them, and as they are sent; None is a hop-by-hop header. Applications use few.
_known: dict[str, bytes | None] = {}
_known_statuses: dict[str, int] = {}
_KNOWN_MAX = 1024


def parse_status(status: Any) -> int:
    """Return the number of a status line such as "404 Not Found"; the reason may be missing."""
    if type(status) is str and status in _known_statuses:
        return _known_statuses[status]
    if not isinstance(status, str):
        raise TypeError(f'the status must be a str such as "200 OK", not {status!r}')
    match = _STATUS.match(status)
    if match is None:
        raise ValueError(
            f'the status must be three digits from 200 on and a reason, such as "200 OK", not {status!r}'
        )
    number = int(match[1])
    if len(_known_statuses) < _KNOWN_MAX:
        _known_statuses[status] = number
    return number


def parse_headers(response_headers: Iterable[Any]) -> tuple[HeaderPairs, int | None, bool]:
    """Return the headers for ASGI, the Content-Length or None, and whether trailers are announced."""
    headers: HeaderPairs = []
    length: int | None = None
    trailers = False
    for pair in response_headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise TypeError(f"a response header must be a pair (name, value), not {pair!r}") from None
        raw_name = _known[name] if type(name) is str and name in _known else _learn(name)
        if not isinstance(value, str):
            raise TypeError(f"the value of the response header {name} must be a str, not {value!r}")
        if not value.isprintable() and _UNSAFE.search(value):
            raise ValueError(
                f"the value of the response header {name} has a line break or NUL in it: {value!r}"
            )
        if raw_name is None:
            continue
        if raw_name == b"content-length":
            length = _content_length(value, length)
        elif raw_name == b"trailer":
            trailers = True
        try:
            headers.append((raw_name, value.encode("latin-1")))
        except UnicodeEncodeError:
            raise ValueError(
                f"the value of the response header {name} has characters outside latin-1: {value!r}"
            ) from None
    return headers, length, trailers


def _learn(name: Any) -> bytes | None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a response header must be a str, not {name!r}")
    if not _TOKEN.match(name):
        raise ValueError(f"not a name for a response header: {name!r}")
    lowered = name.lower()
    raw = None if lowered in HOP_BY_HOP else lowered.encode("ascii")
    if len(_known) < _KNOWN_MAX:
        _known[name] = raw
    return raw


def _content_length(value: str, earlier: int | None) -> int:
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise ValueError(f"Content-Length must be a number of bytes, not {value!r}")
    length = int(digits)
    if earlier is not None and earlier != length:
        raise ValueError(f"the response has two Content-Length headers: {earlier} and {length}")
    return length
