"""A WebSocket, as a test sees it from the client's end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ._communicator import ApplicationCommunicator
from ._http_conversation import Response, UnexpectedMessageError
from ._scope_building import build_headers, connection_scope, path_and_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._scope_building import Headers


class WebSocketRefusedError(AssertionError):
    """The application refused the handshake.

    ``code`` and ``reason`` are those of its "websocket.close"; ``response`` is its answer, if it sent one
    with the extension "websocket.http.response".
    """

    def __init__(self, code: int, reason: str, response: Response | None) -> None:
        self.code = code
        self.reason = reason
        self.response = response
        how = f"with code {code} {reason!r}" if response is None else f"with status {response.status}"
        super().__init__(f"the application refused the handshake {how}")


class WebSocketConversation(ApplicationCommunicator):
    """One WebSocket to *application*. Arguments as in :class:`HTTPConversation`, and *subprotocols*.

    >>> import asyncio
    >>> async def application(scope, receive, send):
    ...     while (event := await receive())["type"] != "websocket.disconnect":
    ...         if event["type"] == "websocket.connect":
    ...             await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    ...         else:
    ...             await send({"type": "websocket.send", "text": event["text"].upper()})
    >>> async def test():
    ...     async with WebSocketConversation(application, "/chat", subprotocols=["v1", "v2"]) as websocket:
    ...         print(await websocket.connect())
    ...         await websocket.send("hello")
    ...         print(await websocket.receive())
    ...         await websocket.close()
    >>> asyncio.run(test())
    v1
    HELLO
    """

    def __init__(
        self,
        application: Callable[..., Any],
        path: str = "/",
        *,
        headers: Headers = (),
        subprotocols: Iterable[str] = (),
        extensions: Iterable[str] = (),
        scope: Mapping[str, Any] | None = None,
        timeout: float | None = 1,
    ) -> None:
        super().__init__(
            application,
            {
                "type": "websocket",
                "subprotocols": list(subprotocols),
                **connection_scope("ws", path_and_query(path), build_headers(headers), extensions),
                **(scope or {}),
            },
        )
        self.timeout = timeout
        self.accept_headers: list[tuple[bytes, bytes]] = []

    async def connect(self) -> str | None:
        """Ask for the handshake; return the subprotocol that the application chose, or None.

        Raises :class:`WebSocketRefusedError` if it refuses.
        """
        await self.send_input({"type": "websocket.connect"})
        message = await self._receive("the answer to the handshake", self.timeout)
        kind = message["type"]
        if kind == "websocket.accept":
            self.accept_headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            subprotocol: str | None = message.get("subprotocol")
            return subprotocol
        if kind == "websocket.close":
            raise WebSocketRefusedError(message.get("code", 1000), message.get("reason") or "", None)
        if kind == "websocket.http.response.start":
            raise WebSocketRefusedError(1006, "", await self._refusal(message))
        raise UnexpectedMessageError(f"wanted the answer to the handshake, got {message!r}")

    async def _refusal(self, start: Mapping[str, Any]) -> Response:
        response = Response(
            start["status"], [(bytes(name), bytes(value)) for name, value in start.get("headers", ())]
        )
        more = True
        while more:
            message = await self._receive("the body of the refusal", self.timeout)
            if message["type"] != "websocket.http.response.body":
                raise UnexpectedMessageError(f"wanted the body of the refusal, got {message!r}")
            response.body += message.get("body", b"")
            more = message.get("more_body", False)
        return response

    async def send(self, data: str | bytes) -> None:
        """Send a message: a str as text, bytes as binary."""
        if isinstance(data, str):
            await self.send_input({"type": "websocket.receive", "text": data})
        elif isinstance(data, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # not every caller checks types
            await self.send_input({"type": "websocket.receive", "bytes": data})
        else:
            raise TypeError(f"a WebSocket message is str or bytes, not {data!r}")

    async def send_json(self, data: Any) -> None:
        """Send *data* as JSON in a text message."""
        await self.send(json.dumps(data))

    async def receive(self) -> str | bytes:
        """Return the next message that the application sends."""
        message = await self._receive("a WebSocket message", self.timeout)
        if message["type"] != "websocket.send":
            raise UnexpectedMessageError(f"wanted a WebSocket message, got {message!r}")
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise UnexpectedMessageError(f"a message has text or bytes, and not both; got {message!r}")
        received: str | bytes = data if text is None else text
        return received

    async def receive_json(self) -> Any:
        """Return the JSON of the next message."""
        return json.loads(await self.receive())

    async def receive_close(self) -> tuple[int, str]:
        """Wait for the application to close the connection; return its code and reason."""
        message = await self._receive("the close of the connection", self.timeout)
        if message["type"] != "websocket.close":
            raise UnexpectedMessageError(f"wanted the close of the connection, got {message!r}")
        return message.get("code", 1000), message.get("reason") or ""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """The client closes the connection; returns when the application has ended, and raises its error."""
        await self.send_input({"type": "websocket.disconnect", "code": code, "reason": reason})
        await self.wait(self.timeout)
