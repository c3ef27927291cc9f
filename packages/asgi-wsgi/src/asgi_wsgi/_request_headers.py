"""Request headers: from a list of byte pairs to environ keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

# Names as they were received, and the keys they become; None is a name that is dropped. The same few dozen
# names come with every request. What a client can add to it is bounded by its size.
_known: dict[bytes, str | None] = {}
_KNOWN_MAX = 1024


def add_headers(
    environ: dict[str, Any],
    headers: Iterable[tuple[bytes, bytes]],
    limit: int | None,
    keep_underscores: bool,
) -> None:
    """Put the headers into environ. More than ``limit`` of one name (cookies apart) are refused with 400.

    Values of one name are collected and joined once, so that many of them cost linear time (CVE-2025-14550).
    """
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        key = _known[name] if name in _known else _learn(name)
        if key is None:
            if not keep_underscores or not name:
                continue
            key = _key(name)
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
            continue
        values = repeated.get(key)
        if values is None:
            values = repeated[key] = [environ[key]]
        if limit and len(values) >= limit and key != "HTTP_COOKIE":
            raise RequestRefused(400, "Too many duplicate headers")
        values.append(text)
    for key, values in repeated.items():
        # RFC 9113, 8.2.3: a cookie may be split over several headers, and is put together with "; ".
        environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
    if "CONTENT_LENGTH" in environ:
        _settle_content_length(environ)


def _key(name: bytes) -> str:
    key = name.upper().decode("latin-1").replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def _learn(name: bytes) -> str | None:
    # "X_Remote_User" would become the same key as "X-Remote-User", which a proxy in front may have vouched
    # for.
    key = None if b"_" in name or not name else _key(name)
    if len(_known) < _KNOWN_MAX:
        _known[bytes(name)] = key
    return key


def _settle_content_length(environ: dict[str, Any]) -> None:
    if "HTTP_TRANSFER_ENCODING" in environ:
        # RFC 9112, 6.3: Transfer-Encoding overrides Content-Length, which is not handed on.
        del environ["CONTENT_LENGTH"]
        return
    values = {value.strip() for value in environ["CONTENT_LENGTH"].split(",")}
    text = values.pop()
    if values:
        raise RequestRefused(400, "Conflicting Content-Length")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RequestRefused(400, "Invalid Content-Length")
    environ["CONTENT_LENGTH"] = text


def content_length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the length that the headers announce, None where they announce none or announce it badly.

    A request whose Content-Length is bad is answered 400 when its environ is built, before the body is read.
    """
    length: int | None = None
    for name, value in headers:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            digits = value.strip()
            if not digits.isdigit() or len(digits) > 19:
                return None
            length = int(digits)
        elif size == 17 and name.lower() == b"transfer-encoding":
            return None
    return length
