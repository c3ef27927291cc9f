"""Telling Redis which messages are done with, many at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from ._redis_layout import Layout

    Key = tuple[int, bytes]
    """The number of a partition, and the id of an entry in its stream."""

logger = logging.getLogger("asgi_server.redis")


class Acknowledgements:
    """What a worker has handled and not acknowledged yet; what failed is copied before that.

    Those that come while others are on their way to Redis go together in the next round trip. If it fails,
    they are tried again *pause* seconds later: until then they count as done, and are not served again.
    """

    def __init__(self, client: Any, layout: Layout, group: str, *, failed_maxlen: int, pause: float) -> None:
        self._client = client
        self._layout = layout
        self._group = group
        self._failed_maxlen = failed_maxlen
        self._pause = pause
        self._handled: set[Key] = set()
        self._failed: dict[Key, dict[bytes, bytes]] = {}
        self._wanted = asyncio.Event()
        self._sending = asyncio.Lock()
        self._ended = False

    def __contains__(self, key: Key) -> bool:
        return key in self._handled or key in self._failed

    def add(self, key: Key) -> None:
        """The message was handled."""
        self._handled.add(key)
        self._wanted.set()

    def add_failed(self, key: Key, fields: dict[bytes, bytes]) -> None:
        """The message could not be handled: it goes to the stream of those."""
        self._failed[key] = fields
        self._wanted.set()

    def end(self) -> None:
        """Make :meth:`run` return when it is cancelled, even if redis-py takes the cancellation for a timeout."""
        self._ended = True

    async def run(self) -> None:
        """Send what comes, until :meth:`end` and a cancellation."""
        while not self._ended:
            await self._wanted.wait()  # without a timeout: there may be nothing to do for long
            self._wanted.clear()
            try:
                await self.flush()
            except (RedisError, OSError) as error:
                logger.warning("could not acknowledge, will try again: %r", error)
                self._wanted.set()
                await asyncio.sleep(self._pause)

    async def flush(self) -> None:
        """Send what there is, in one round trip."""
        async with self._sending:  # or two would copy the same failed message; the client's timeout ends it
            handled, failed = set(self._handled), dict(self._failed)
            by_partition: dict[int, list[bytes]] = {}
            for number, entry in handled | set(failed):
                by_partition.setdefault(number, []).append(entry)
            async with self._client.pipeline(transaction=False) as pipeline:
                for fields in failed.values():
                    pipeline.xadd(self._layout.failed, fields, maxlen=self._failed_maxlen, approximate=True)
                for number, entries in by_partition.items():
                    pipeline.xack(self._layout.stream(number), self._group, *entries)
                await pipeline.execute()
            self._handled -= handled
            for key in failed:
                del self._failed[key]
