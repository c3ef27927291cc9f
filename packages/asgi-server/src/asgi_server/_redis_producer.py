"""The end of the streams where messages come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._redis_layout import Layout, encode

if TYPE_CHECKING:
    from collections.abc import Iterable


class RedisStreamsProducer:
    """Writes messages for the scopes of a fleet of :class:`RedisStreamsServer`.

    *client* is a ``redis.asyncio.Redis``; *layout* is the servers'. *maxlen* bounds each
    partition's stream, roughly: Redis then drops the oldest entries, handled or not, so it must be far above
    what can wait.

    >>> async def example(client):
    ...     producer = RedisStreamsProducer(client, Layout("bots", 64))
    ...     await producer.send("user-1", {"type": "chat", "user": 1}, {"type": "message", "text": "hello"})
    """

    def __init__(self, client: Any, layout: Layout | None = None, *, maxlen: int | None = None) -> None:
        self._client = client
        self.layout: Layout = layout or Layout()
        self._maxlen = maxlen
        self._agreed = False

    async def send(self, scope_id: str, scope: Any, message: Any) -> str:
        """Write one message; returns the id that Redis gave it. Scope and message must be JSON.

        When it returns the message is in Redis. If it raises a ConnectionError or TimeoutError the message
        may be in Redis or not.
        """
        return (await self.send_all([(scope_id, scope, message)]))[0]

    async def send_all(self, messages: Iterable[tuple[str, Any, Any]]) -> list[str]:
        """Write many messages, each a scope id, a scope and a message, in one round trip; returns their ids.

        If it raises, any number of them may be in Redis.
        """
        if not self._agreed:
            await self.layout.agree(self._client)
            self._agreed = True
        async with self._client.pipeline(transaction=False) as pipeline:
            for scope_id, scope, message in messages:
                stream = self.layout.stream(self.layout.partition(scope_id))
                pipeline.xadd(stream, encode(scope_id, scope, message), maxlen=self._maxlen)
            entries = await pipeline.execute()
        return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in entries]
