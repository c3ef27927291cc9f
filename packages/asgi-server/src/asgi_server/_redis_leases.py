"""Which partitions this worker serves: a lease for each, and a fair share of all."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

from redis.exceptions import LockError

if TYPE_CHECKING:
    from ._redis_layout import Layout

logger = logging.getLogger("asgi_server.redis")

# How many leases are renewed at a time.
AT_ONCE = 16


class Leases:
    """The partitions of one worker. The leases are redis-py's locks; the list of workers is a sorted set.

    Every third of *seconds* the worker renews what it holds, looks how many workers live and takes or gives
    back partitions, until everybody holds the same number, one more or less.
    """

    def __init__(self, client: Any, layout: Layout, worker: str, seconds: float) -> None:
        self._client = client
        self._layout = layout
        self._worker = worker
        self._seconds = seconds
        self._locks: dict[int, Any] = {}
        self.workers = 1

    @property
    def held(self) -> set[int]:
        """The partitions that are this worker's."""
        return set(self._locks)

    @property
    def share(self) -> int:
        """How many partitions this worker may hold."""
        return -(-self._layout.partitions // self.workers)

    async def announce(self) -> None:
        """Say that this worker lives, and count those that do, by the clock of Redis."""
        now, fraction = await self._client.time()
        moment = now + fraction / 1e6
        await self._client.zadd(self._layout.workers, {self._worker: moment + self._seconds})
        await self._client.zremrangebyscore(self._layout.workers, 0, moment)
        self.workers = max(1, await self._client.zcard(self._layout.workers))

    async def renew(self) -> set[int]:
        """Prolong what is held; returns the partitions that are lost."""
        lost: set[int] = set()
        held = list(self._locks.items())
        # Together, because a round trip takes long while the loop is busy; not all, because each takes a
        # connection.
        for start in range(0, len(held), AT_ONCE):
            some = held[start : start + AT_ONCE]
            renewals = (lock.extend(self._seconds, replace_ttl=True) for _, lock in some)
            results = await asyncio.gather(*renewals, return_exceptions=True)
            for (partition, _), result in zip(some, results, strict=True):
                if isinstance(result, LockError):
                    # Or it was given back while this renewed it, and then it is not lost.
                    if self._locks.pop(partition, None) is not None:
                        lost.add(partition)
                elif isinstance(result, BaseException):
                    raise result
        return lost

    async def take(self) -> set[int]:
        """Take free partitions up to the fair share; returns the new ones."""
        taken: set[int] = set()
        free = [partition for partition in range(self._layout.partitions) if partition not in self._locks]
        random.shuffle(free)
        for partition in free:
            if len(self._locks) >= self.share:
                break
            lock = self._client.lock(self._layout.lease(partition), timeout=self._seconds, thread_local=False)
            if await lock.acquire(blocking=False):
                self._locks[partition] = lock
                taken.add(partition)
        return taken

    def surplus(self) -> set[int]:
        """Partitions to give back, because there are more workers now: always the same ones of them."""
        return set(sorted(self._locks)[self.share :])

    async def release(self, partition: int) -> None:
        """Give a partition back, if it is held."""
        lock = self._locks.pop(partition, None)
        if lock is not None:
            try:
                await lock.release()
            except LockError:
                logger.warning("the lease of partition %d was over before it was given back", partition)

    def abandon(self, partition: int) -> None:
        """Renew the lease no more: it runs out."""
        self._locks.pop(partition, None)

    def forget(self) -> set[int]:
        """All leases may be over, because Redis could not be reached; returns the partitions."""
        lost = self.held
        self._locks.clear()
        return lost

    async def leave(self) -> None:
        """Give everything back, and say that this worker is gone."""
        for partition in list(self._locks):
            await self.release(partition)
        await self._client.zrem(self._layout.workers, self._worker)
