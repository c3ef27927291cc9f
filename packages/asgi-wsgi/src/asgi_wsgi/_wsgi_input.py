"""Reading ``wsgi.input`` block by block, without ever reading past its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BLOCK_SIZE = 65536


class WsgiInput:
    """The request body of a WSGI request, as the messages that ``receive()`` returns."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._file = environ.get("wsgi.input")
        self._left = _body_length(environ)
        # read1 returns what is there; read may wait until it has as much as it was asked for.
        read: Any = getattr(self._file, "read1", None) or getattr(self._file, "read", _nothing)
        self._read: Callable[[int], bytes] = read

    def message(self) -> dict[str, Any]:
        """Wait for the next block; a body that breaks off is a disconnect."""
        size = BLOCK_SIZE if self._left is None else min(self._left, BLOCK_SIZE)
        try:
            data = self._read(size) if size else b""
        except OSError:
            return {"type": "http.disconnect"}
        if self._left is None:
            return {"type": "http.request", "body": data, "more_body": bool(data)}
        if size and not data:
            return {"type": "http.disconnect"}
        self._left -= len(data)
        return {"type": "http.request", "body": data, "more_body": self._left > 0}


def _nothing(size: int) -> bytes:  # noqa: ARG001 -- stands in for read
    return b""


def _body_length(environ: Mapping[str, Any]) -> int | None:
    """Return how much can be read, None if the server itself ends the body.

    Where the server promises nothing, reading without a Content-Length would wait for a next request.
    """
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    text = environ.get("CONTENT_LENGTH") or ""
    if text and not chunked:
        return int(text) if text.isascii() and text.isdigit() else 0
    return None if chunked or environ.get("wsgi.input_terminated") else 0
