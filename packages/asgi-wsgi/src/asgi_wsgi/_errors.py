"""The exceptions that a WSGI application can meet, and the refusals that are answered without calling it."""

from __future__ import annotations

from typing import Any


class ClientDisconnected(ConnectionError):  # noqa: N818 -- says what happened
    """The client went away before it had sent, or been sent, all of it.

    Raised in the WSGI application, on its own thread, by ``environ["wsgi.input"]`` and by the ``write``
    callable. An application need not catch it: a request whose client left ends quietly.
    """


class RequestBodyError(OSError):
    """The request body cannot be read on. If the application lets it pass, the client is answered ``status``.

    Attributes:
        status: the HTTP status, one of 400 (the body ended before its Content-Length), 408 (the client
        stopped
            sending) and 413 (longer than ``max_body_size``).
    """

    status: int

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class RequestRefused(ValueError):  # noqa: N818 -- says what happened
    """The request is answered by the adapter itself.

    A ``ValueError``: asgiref's ``build_environ`` raises one.
    """

    status: int
    detail: str

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
}


class LoopGone(RuntimeError):  # noqa: N818 -- says what happened
    """The event loop of a request was closed under it."""


def name_request(error: BaseException, scope: Any) -> None:
    """Note on an exception which request it comes from: a traceback in a log shows it."""
    note = f"in the WSGI request {scope['method']} {scope['path']!r}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def came_from(exc: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return the first exception of this kind among ``exc`` and what led to it, or None."""
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen:
        if isinstance(link, kind):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None
