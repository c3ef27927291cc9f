"""Which keys of Redis hold what, and how messages are written down."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from ._options import whole_number


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the keys, and the number of partitions, which must be the same for everybody.

    The partition of a scope is the CRC-32 of its id in UTF-8, modulo the number of partitions.

    >>> layout = Layout("bots", 16)
    >>> layout.partition("user-1"), layout.stream(layout.partition("user-1"))
    (4, 'bots:{4}:stream')
    """

    prefix: str = "asgi"
    partitions: int = 64

    def __post_init__(self) -> None:
        whole_number("partitions", self.partitions, minimum=1)
        if not self.prefix:
            raise ValueError("prefix must not be empty")

    def partition(self, scope_id: str) -> int:
        """The number of the partition that *scope_id* belongs to."""
        return zlib.crc32(scope_id.encode("utf-8")) % self.partitions

    # The braces keep the keys of one partition on one node of a Redis Cluster.

    def stream(self, partition: int) -> str:
        """The messages of a partition."""
        return f"{self.prefix}:{{{partition}}}:stream"

    def lease(self, partition: int) -> str:
        """Who serves a partition."""
        return f"{self.prefix}:{{{partition}}}:lease"

    @property
    def workers(self) -> str:
        """The living workers, by the time until which they are known to live."""
        return f"{self.prefix}:workers"

    @property
    def settings(self) -> str:
        """What everybody has to agree on."""
        return f"{self.prefix}:settings"

    @property
    def replies(self) -> str:
        """What applications sent."""
        return f"{self.prefix}:replies"

    @property
    def failed(self) -> str:
        """Messages whose application raised an error."""
        return f"{self.prefix}:failed"

    async def agree(self, client: Any) -> None:
        """Raise ValueError if others use another number of partitions with this prefix."""
        await client.hsetnx(self.settings, "partitions", self.partitions)
        others = int(await client.hget(self.settings, "partitions"))
        if others != self.partitions:
            raise ValueError(f"{self.prefix!r} has {others} partitions in this Redis, not {self.partitions}")


def encode(scope_id: str, scope: Any, message: Any) -> dict[str, str]:
    """The fields of a stream's entry. Raises TypeError for what JSON cannot write."""
    return {"scope_id": scope_id, "scope": json.dumps(scope), "message": json.dumps(message)}


def decode(fields: dict[bytes, bytes]) -> tuple[str, Any, Any]:
    """Scope id, scope and message of a stream's entry."""
    return fields[b"scope_id"].decode("utf-8"), json.loads(fields[b"scope"]), json.loads(fields[b"message"])
