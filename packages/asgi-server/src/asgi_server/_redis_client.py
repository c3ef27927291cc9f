"""Small things that redis-py makes necessary."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio


async def end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel *tasks* and wait for their ends."""
    while tasks:
        for task in tasks:
            task.cancel()
        # Again and again, because redis-py can turn a cancellation into a timeout, which is then only logged.
        # It ends: these tasks see that they have to, as soon as they wait for Redis no more, and that has a
        # timeout.
        _, tasks = await asyncio.wait(tasks, timeout=0.5)


def connect(url: str, timeout: float) -> Any:
    """A client whose every operation ends, one way or the other, within about *timeout* seconds."""
    # redis-py is not typed well enough for strict checking: its methods return results or awaitables.
    client: Any = redis.asyncio.Redis
    return client.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
