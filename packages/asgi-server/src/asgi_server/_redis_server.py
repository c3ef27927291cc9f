"""A StatelessServer whose messages come from Redis Streams."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
import uuid
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from ._errors import ScopeBlockedError
from ._options import Backoff, seconds, whole_number
from ._redis_acknowledging import Acknowledgements
from ._redis_client import connect, end
from ._redis_layout import Layout, decode
from ._redis_leases import Leases
from ._redis_partitions import Partition
from ._redis_writer import Writer
from ._stateless_server import StatelessServer

if TYPE_CHECKING:
    from ._inbox import Outcome

logger = logging.getLogger("asgi_server.redis")


class RedisStreamsServer(StatelessServer):
    """Serves the scopes of this worker's partitions, out of the Redis at *url*, such as "redis://host:6379/0".

    Every worker of a fleet runs one with the same *layout* and *group*; who serves which partition settles
    itself. A message is acknowledged when the application has handled it. What a worker leaves
    unacknowledged, because it dies or loses its lease, the next one claims and serves first. So every message
    is served at least once, and the messages of one scope in order. A message whose application raises an
    error is acknowledged too, and copied to the stream ``layout.failed``. What applications send goes to the
    stream ``layout.replies``.

    * *prefetch*: how many messages this worker may have taken that are not handled.
    * *lease*: seconds after which the partitions of a dead worker are free.
    * *replies_maxlen*: about how many replies, and failed messages, Redis keeps.

    All other arguments are those of :class:`StatelessServer`; ``restart`` has a default here: if Redis cannot
    be reached :meth:`handle` starts again, at most 10 seconds later.
    """

    def __init__(
        self,
        application: Any,
        url: str,
        *,
        layout: Layout | None = None,
        group: str = "asgi",
        name: str | None = None,
        prefetch: int = 256,
        lease: float = 10.0,
        replies_maxlen: int = 1_000_000,
        restart: Backoff | None = Backoff(initial=0.1, maximum=10.0),  # noqa: B008  # it is frozen
        **options: Any,
    ) -> None:
        super().__init__(application, restart=restart, **options)
        whole_number("prefetch", prefetch, minimum=1)
        whole_number("replies_maxlen", replies_maxlen, minimum=1)
        seconds("lease", lease, positive=True)
        self.layout: Layout = layout or Layout()
        self.group = group
        self.name: str = name or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.claimed: int = 0
        """How many messages were taken over from another worker: only these can be served twice."""
        self._url = url
        self._prefetch = prefetch
        self._lease = lease
        self._replies_maxlen = replies_maxlen
        self._client: Any = None
        self._partitions: dict[int, Partition] = {}
        self._in_flight: set[tuple[int, bytes]] = set()
        self._giving_back: set[asyncio.Task[None]] = set()
        self._renewed = 0.0  # when the leases were renewed, on the monotonic clock
        self._turn = 0
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def partitions(self) -> frozenset[int]:
        """The numbers of the partitions that this worker serves at the moment."""
        return frozenset(self._partitions)

    ### Running

    async def arun(self) -> None:
        """Run as :meth:`StatelessServer.arun` does; the leases are renewed until everything is drained."""
        self._client = connect(self._url, self._lease)
        self._writer = Writer(self._client)
        self._leases = Leases(self._client, self.layout, self.name, self._lease)
        self._acknowledgements = Acknowledgements(
            self._client,
            self.layout,
            self.group,
            failed_maxlen=self._replies_maxlen,
            pause=self._lease / 10,
        )
        self._leaving = False
        self._ended = False
        self._renewed = time.monotonic()
        keepers = [asyncio.create_task(self._keep()), asyncio.create_task(self._acknowledgements.run())]
        try:
            await super().arun()
        finally:
            self._ended = True
            self._acknowledgements.end()
            await end({*keepers, *self._giving_back})
            await self._goodbye()

    async def _goodbye(self) -> None:
        try:
            async with asyncio.timeout(self._lease):
                await self._acknowledgements.flush()
                await self._leases.leave()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("could not say goodbye to Redis, so the leases have to run out: %r", error)
        self._partitions.clear()
        self._in_flight.clear()
        await self._writer.close()
        await self._client.aclose()

    async def handle(self) -> None:
        """Read from the partitions that are this worker's."""
        try:
            await self.layout.agree(self._client)
            while True:
                await self._has_room()
                async with self._reading:
                    await self._read()
        except asyncio.CancelledError:
            self._leaving = True
            raise
        except (RedisError, OSError) as error:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise
            # A cancellation in the middle of a timeout can come out of redis-py as the timeout.
            self._leaving = True
            raise asyncio.CancelledError from error

    async def application_send(self, scope: Any, message: Any) -> None:
        """Write what an application sends to the stream of replies, with its scope, as JSON."""
        fields = {"worker": self.name, "scope": json.dumps(scope), "message": json.dumps(message)}
        maxlen = self._replies_maxlen
        await self._writer.write(lambda pipeline: pipeline.xadd(self.layout.replies, fields, maxlen=maxlen))

    ### Taking messages

    async def _has_room(self) -> None:
        # No timeout: this is the backpressure, it lasts as long as the applications take.
        while len(self._in_flight) >= self._prefetch or self._is_late() or not self._readable():
            self._changed.clear()
            await self._changed.wait()

    def _is_late(self) -> bool:
        # The leases may be over, because this process stood still or could not reach Redis. It does not know
        # yet.
        return time.monotonic() - self._renewed > self._lease

    def _readable(self) -> list[Partition]:
        return [partition for partition in self._partitions.values() if not partition.releasing]

    async def _read(self) -> None:
        for partition in self._readable():
            if partition.claims_at <= time.monotonic():
                await self._claim(partition)
        room = self._prefetch - len(self._in_flight)
        # Every stream of a read may bring a message, so no more streams than there is room; in turns.
        self._turn += 1
        # A partition that came during the claims of others is not read before its own.
        readable = [partition for partition in self._readable() if not partition.fresh]
        first = self._turn % max(1, len(readable))
        chosen = {partition.stream: partition for partition in (readable[first:] + readable[:first])[:room]}
        if room <= 0 or not chosen:
            return
        streams = dict.fromkeys(chosen, ">")
        count, block = max(1, room // len(chosen)), int(min(0.5, self._lease / 4) * 1000)
        for stream, entries in await self._client.xreadgroup(
            self.group, self.name, streams, count=count, block=block
        ):
            for entry, fields in entries:
                await self._serve(chosen[stream.decode()], entry, fields)

    async def _claim(self, partition: Partition) -> None:
        # Nobody else serves this partition, so what is pending was left behind; except, later on, what this
        # worker itself is working on. It comes before everything new, in its order.
        patience = 0 if partition.fresh else int(self._lease * 2000)
        partition.fresh, partition.claims_at = False, time.monotonic() + 2 * self._lease
        cursor: Any = "0-0"
        try:
            while cursor != b"0-0":
                cursor, entries, *_ = await self._client.xautoclaim(
                    partition.stream, self.group, self.name, patience, start_id=cursor, count=100
                )
                for entry, fields in entries:
                    await self._serve_claimed(partition, entry, fields)
        except BaseException:
            partition.fresh, partition.claims_at = True, 0.0
            raise

    async def _serve_claimed(self, partition: Partition, entry: bytes, fields: dict[bytes, bytes]) -> None:
        key = partition.number, entry
        if fields and not (key in self._in_flight or key in self._acknowledgements):
            self.claimed += 1
            await self._serve(partition, entry, fields)

    async def _serve(self, partition: Partition, entry: bytes, fields: dict[bytes, bytes]) -> None:
        if self._is_late():
            partition.fresh, partition.claims_at = True, 0.0  # it stays pending, for whoever has the lease
            return
        key = partition.number, entry
        try:
            scope_id, scope, message = decode(fields)
        except (KeyError, ValueError) as error:
            logger.error("entry %r of %s is no message: %r", entry, partition.stream, error)
            self._acknowledgements.add_failed(key, fields)
            return
        self._in_flight.add(key)
        try:
            await self.dispatch(
                scope_id, scope, message, on_settled=partial(self._settled, partition, entry, fields)
            )
        except BaseException as error:
            # It stays pending, so it is claimed again.
            self._in_flight.discard(key)
            if not isinstance(error, ScopeBlockedError):
                raise
            logger.error("entry %r of %s has to wait: %s", entry, partition.stream, error)

    def _settled(
        self, partition: Partition, entry: bytes, fields: dict[bytes, bytes], outcome: Outcome
    ) -> None:
        key = partition.number, entry
        self._in_flight.discard(key)
        self._changed.set()
        if outcome == "handled":
            self._acknowledgements.add(key)
        elif outcome == "failed":
            self._acknowledgements.add_failed(key, fields)
        else:
            # Nobody is done with it: this worker claims it again, or the next one that has the partition.
            partition.fresh, partition.claims_at = True, 0.0

    ### Keeping the leases

    async def _keep(self) -> None:
        while not self._ended:
            try:
                await self._tend()
            except (RedisError, OSError) as error:
                logger.warning("could not renew the leases: %r", error)
                if self._is_late():
                    self._lose(self._leases.forget())
            await asyncio.sleep(self._lease / 3)

    async def _tend(self) -> None:
        started = time.monotonic()
        self._lose(await self._leases.renew())
        self._renewed = started
        await self._leases.announce()
        if self._leaving:
            return
        for number in self._leases.surplus():
            partition = self._partitions.get(number)
            if partition is not None and not partition.releasing:
                self._giving_back.add(task := asyncio.create_task(self._give_back(partition)))
                task.add_done_callback(self._giving_back.discard)
        for number in await self._leases.take():
            partition = Partition(number, self.layout.stream(number))
            with suppress(ResponseError):  # BUSYGROUP: somebody else has made the group
                await self._client.xgroup_create(partition.stream, self.group, id="0", mkstream=True)
            self._partitions[number] = partition
        self._changed.set()

    def _lose(self, numbers: set[int]) -> None:
        # Somebody else may serve these already: stop as soon as possible.
        for number in numbers:
            logger.warning("the lease of partition %d is lost", number)
            self._partitions.pop(number, None)
        if numbers:
            self._pool.cancel_where(
                lambda scope_id: self.layout.partition(str(scope_id)) in numbers, "lease lost"
            )

    def _evict(self, number: int) -> None:
        for scope_id in list(self.application_instances):
            if self.layout.partition(str(scope_id)) == number:
                self.delete_application_instance(scope_id)

    async def _give_back(self, partition: Partition) -> None:
        # In a task of its own, while the lease is renewed. It ends: the evicted instances have their grace
        # period.
        partition.releasing = True
        async with self._reading:
            self._evict(partition.number)
        while self._is_busy(partition.number):
            self._changed.clear()
            await self._changed.wait()
        if self._partitions.pop(partition.number, None) is None:
            return  # lost meanwhile
        try:
            await self._acknowledgements.flush()
            await self._leases.release(partition.number)
        except (RedisError, OSError) as error:
            logger.warning(
                "could not give partition %d back, so its lease has to run out: %r", partition.number, error
            )
            self._leases.abandon(partition.number)

    def _is_busy(self, number: int) -> bool:
        return any(key[0] == number for key in self._in_flight)
