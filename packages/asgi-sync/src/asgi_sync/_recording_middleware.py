"""Record single requests of a running site, for those who know the token."""

from __future__ import annotations

import hmac
import logging
import re
from typing import TYPE_CHECKING, Any

from ._recorder import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from ._recorder import Recording

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    Application = Callable[[Any, Any, Any], Awaitable[None]]

logger = logging.getLogger("asgi_sync")

#: How many callables a Server-Timing header names, those that took the most time: headers must stay short.
NAMED = 8
#: How many characters of a callable's name it gives: the last ones.
LENGTH = 80
#: What may be in a header's name: a token of RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RecordingMiddleware:
    """ASGI middleware that records the crossings of a request whose header asks for it, with the right token.

    The response to it has a `Server-Timing` header, which the developer tools of browsers show: how long the request
    took until the response began, how long its calls queued, and for how long the callables that took the most time
    ran. All other requests, and all WebSockets, go through untouched.

    Args:
        application: An ASGI application.
        token: What the header must say, as a secret. `None`, as by default, records nothing at all.
        header: The request header's name.
        on_recording: Called with the scope and the recording after the request, on the event loop's thread: for
            instance to write a trace file. What it raises is logged.

    Raises:
        TypeError: If the token is not a string.
        ValueError: If the token is empty, or the header's name is none.

    >>> import asyncio
    >>> from asgi_sync import RecordingMiddleware, sync_to_async
    >>> async def application(scope, receive, send):
    ...     await sync_to_async(len)("some work")
    ...     await send({"type": "http.response.start", "status": 200, "headers": []})
    ...     await send({"type": "http.response.body"})
    >>> async def send(message):
    ...     for name, value in message.get("headers", ()):
    ...         print(name.decode(), "of", value.decode().count(";dur="), "durations")
    >>> application = RecordingMiddleware(application, token="secret")
    >>> scope = {"type": "http", "headers": [(b"x-record-crossings", b"secret")]}
    >>> asyncio.run(application(scope, None, send))
    server-timing of 3 durations
    """

    def __init__(
        self,
        application: Application,
        *,
        token: str | None = None,
        header: str = "X-Record-Crossings",
        on_recording: Callable[[Any, Recording], object] | None = None,
    ) -> None:
        checked: Any = token
        if checked is not None and not isinstance(checked, str):
            raise TypeError(f"token must be a string, or None to record nothing, not {checked!r}")
        if token == "":
            raise ValueError("an empty token would guard nothing: give None to record nothing")
        if not _TOKEN.fullmatch(header):
            raise ValueError(f"header must be the name of a request header, not {header!r}")
        self._application = application
        self._token = None if token is None else token.encode()
        self._header = header.lower().encode()
        self._on_recording = on_recording

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, recorded or not."""
        if self._token is None or scope["type"] != "http" or not self._is_asked_for(scope["headers"]):
            await self._application(scope, receive, send)
            return
        recording = record(only_this_context=True)

        async def send_with_timing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"server-timing", server_timing(recording))]
                message = {**message, "headers": headers}
            await send(message)

        try:
            async with recording:
                await self._application(scope, receive, send_with_timing)
        finally:
            if self._on_recording is not None:
                self._hand_over(scope, recording)

    def _is_asked_for(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        assert self._token is not None
        # Compared in a time that does not tell how much of the token was right.
        return any(
            name.lower() == self._header and hmac.compare_digest(bytes(value), self._token)
            for name, value in headers
        )

    def _hand_over(self, scope: Scope, recording: Recording) -> None:
        assert self._on_recording is not None
        try:
            self._on_recording(scope, recording)
        except Exception:
            logger.exception("%r failed; the request that was recorded is not affected", self._on_recording)


def server_timing(recording: Recording) -> bytes:
    """The value of a Server-Timing header (W3C, "Server Timing") for what has been recorded until now."""
    crossings = recording.crossings
    queued = sum(crossing.queued for crossing in crossings)
    metrics = [
        _metric("total", recording.seconds, f"{len(crossings)} crossings"),
        _metric("queued", queued, "waiting for threads and loops"),
    ]
    for number, each in enumerate(recording.callables()[:NAMED], 1):
        name = each.name if len(each.name) <= LENGTH else f"...{each.name[-LENGTH:]}"
        metrics.append(_metric(f"c{number}", each.total_ran, f"{name} {each.count}x {each.direction.value}"))
    return ", ".join(metrics).encode("latin-1", "replace")


def _metric(name: str, seconds: float, description: str) -> str:
    # Within a quoted string; line ends and the like are no part of a header at all.
    plain = "".join(char if char.isprintable() and char.isascii() else "?" for char in description)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name};dur={seconds * 1000:.3f};desc="{quoted}"'
