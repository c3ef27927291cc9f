"""From the items of an outbox to ASGI messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ._outbox import Item, Outbox
    from ._types import Receive, Send

# Blocks are put together up to this many bytes: what a TCP socket's buffer commonly takes at once.
MERGED_SIZE = 65536


async def send_each(items: list[tuple[Item, int]], send: Send, outbox: Outbox) -> None:
    """Send one message for each block and a bare one at the end, as asgiref does."""
    for item, size in items:
        if item is None:
            await send({"type": "http.response.body"})
        elif isinstance(item, bytes):
            await send({"type": "http.response.body", "body": item, "more_body": True})
        else:
            await send(item)
        if size:
            outbox.sent(size)


async def send_merged(items: list[tuple[Item, int]], send: Send, outbox: Outbox) -> None:
    """Send blocks that are there together in one message, and the last of them with the end."""
    blocks: list[bytes] = []
    length = weight = 0
    for item, size in items:
        if isinstance(item, bytes):
            if length and length + len(item) > MERGED_SIZE:
                await send({"type": "http.response.body", "body": _joined(blocks), "more_body": True})
                outbox.sent(weight)
                blocks = []
                length = weight = 0
            blocks.append(item)
            length += len(item)
            weight += size
            continue
        if item is None:
            await send({"type": "http.response.body", "body": _joined(blocks), "more_body": False})
        else:
            if length:
                await send({"type": "http.response.body", "body": _joined(blocks), "more_body": True})
            await send(item)
        if weight + size:
            outbox.sent(weight + size)
        blocks = []
        length = weight = 0
    if blocks:
        await send({"type": "http.response.body", "body": _joined(blocks), "more_body": True})
        outbox.sent(weight)


def _joined(blocks: list[bytes]) -> bytes:
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


class StallClock:
    """Notices that a ``send()`` or ``receive()`` has not come back for a while: the client does nothing.

    One timer for all messages; it looks at the time when the current one was asked for.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, patience: float, on_stalled: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._patience = patience
        self._on_stalled = on_stalled
        self._since: float | None = None
        self._timer = loop.call_later(patience, self._look)

    def timed(self, send: Send) -> Send:
        """Return ``send`` under watch."""

        async def timed_send(message: Any) -> None:
            self._since = self._loop.time()
            await send(message)
            self._since = None

        return timed_send

    def timed_receive(self, receive: Receive) -> Receive:
        """Return ``receive`` under watch."""

        async def timed_receive() -> Any:
            self._since = self._loop.time()
            message = await receive()
            self._since = None
            return message

        return timed_receive

    def _look(self) -> None:
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited >= self._patience:
            self._on_stalled()
        else:
            self._timer = self._loop.call_later(self._patience - waited, self._look)

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()
