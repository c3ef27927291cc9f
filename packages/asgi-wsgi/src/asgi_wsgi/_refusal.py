"""Answers that the adapter gives by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import REASONS

if TYPE_CHECKING:
    from ._errors import RequestRefused
    from ._types import Send


async def refuse(send: Send, refused: RequestRefused) -> None:
    """Answer a request with the status of its refusal, in plain text."""
    body = REASONS[refused.status] + b": " + refused.detail.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    try:
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
    except OSError:
        pass  # the client has gone already
