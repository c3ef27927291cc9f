"""An HTTP request and its response, as a test sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._communicator import ApplicationCommunicator
from ._scope_building import build_headers, connection_scope, path_and_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._scope_building import Headers


class UnexpectedMessageError(AssertionError):
    """The application sent something that does not belong here in the conversation."""


@dataclass
class Response:
    """What an application answered to one request."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    others: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The messages of extensions, such as early hints, pushes and debug information, in their order."""

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The values of a header, joined with commas, or None if it is not there."""
        wanted = name.lower().encode("latin-1")
        values = [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]
        return ", ".join(values) if values else None


class HTTPConversation(ApplicationCommunicator):
    """One HTTP request to *application*.

    *path* may have a query; *headers* are a mapping of text or pairs of text or bytes. *extensions* are those
    that the server is to have; *scope* is merged into the scope last. *timeout*, in seconds, is for each
    message.

    >>> import asyncio
    >>> async def application(scope, receive, send):
    ...     request = await receive()
    ...     headers = [(b"x-path", scope["path"].encode())]
    ...     await send({"type": "http.response.start", "status": 201, "headers": headers})
    ...     await send({"type": "http.response.body", "body": request["body"].upper()})
    >>> async def test():
    ...     async with HTTPConversation(application, "POST", "/things?of=mine") as http:
    ...         await http.send_body(b"hello")
    ...         response = await http.response()
    ...     print(response.status, response.header("X-Path"), response.text)
    >>> asyncio.run(test())
    201 /things HELLO
    """

    def __init__(
        self,
        application: Callable[..., Any],
        method: str = "GET",
        path: str = "/",
        *,
        headers: Headers = (),
        extensions: Iterable[str] = (),
        scope: Mapping[str, Any] | None = None,
        timeout: float | None = 1,
    ) -> None:
        if not method or not method.isascii():
            raise ValueError(f"method must be the name of an HTTP method, not {method!r}")
        super().__init__(
            application,
            {
                "type": "http",
                "method": method.upper(),
                **connection_scope("http", path_and_query(path), build_headers(headers), extensions),
                **(scope or {}),
            },
        )
        self.timeout = timeout
        self._body_sent = False

    async def send_body(self, body: bytes = b"", *, more: bool = False) -> None:
        """Send a part of the request's body; the last one unless *more*."""
        if self._body_sent:
            raise RuntimeError("the request's body is complete already")
        self._body_sent = not more
        await self.send_input({"type": "http.request", "body": body, "more_body": more})

    async def disconnect(self) -> None:
        """The client goes away."""
        await self.send_input({"type": "http.disconnect"})

    async def response(self) -> Response:
        """Send the end of the request if it is missing; return the whole response."""
        response = await self.response_start()
        while (part := await self.body_part(response)) is not None:
            response.body += part
        return response

    async def response_start(self) -> Response:
        """Send the end of the request if it is missing; return status and headers as soon as they are there.

        Read the body with :meth:`body_part`.
        """
        if not self._body_sent:
            await self.send_body()
        others: list[dict[str, Any]] = []
        while True:
            message = await self._receive("the start of the response", self.timeout)
            if message["type"] == "http.response.start":
                break
            if message["type"] not in ("http.response.debug", "http.response.early_hint"):
                raise UnexpectedMessageError(f"wanted the start of the response, got {message!r}")
            others.append(message)
        self._trailers = bool(message.get("trailers", False))
        self._more_body = True
        return Response(message["status"], _pairs(message), others=others)

    async def body_part(self, response: Response) -> bytes | None:
        """Return the next part of the body, None after the last; trailers and the like go into *response*."""
        while self._more_body:
            message = await self._receive("a part of the response's body", self.timeout)
            kind = message["type"]
            if kind == "http.response.body":
                self._more_body = message.get("more_body", False)
                if not self._more_body and self._trailers:
                    await self._receive_trailers(response)
                return bytes(message.get("body", b""))
            if kind in ("http.response.pathsend", "http.response.zerocopysend"):
                self._more_body = message.get("more_body", False)
            elif kind not in ("http.response.push", "http.response.early_hint"):
                raise UnexpectedMessageError(f"wanted a part of the response's body, got {message!r}")
            response.others.append(message)
        return None

    async def _receive_trailers(self, response: Response) -> None:
        more = True
        while more:
            message = await self._receive("the response's trailers", self.timeout)
            if message["type"] != "http.response.trailers":
                raise UnexpectedMessageError(f"wanted the response's trailers, got {message!r}")
            response.trailers += _pairs(message)
            more = message.get("more_trailers", False)


def _pairs(message: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
