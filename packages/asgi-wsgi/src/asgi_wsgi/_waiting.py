"""How a thread waits for its client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from asgi_sync import async_to_sync

from ._errors import ClientDisconnected

if TYPE_CHECKING:
    from ._worker_pool import WorkerPool

# Seconds after which a waiting thread looks whether its loop still exists: a loop that is closed tells
# nobody.
LOOK_INTERVAL = 5.0


class Gate(Protocol):
    """Where one thread waits, again and again, each time until it is released once."""

    def release(self) -> None:
        """Let the thread pass."""
        ...

    def wait(self, timeout: float) -> bool:
        """Block this thread until the release; return False after ``timeout`` seconds."""
        ...


MakeGate: TypeAlias = Callable[[], Gate]


class ThreadGate:
    """Blocks the thread.

    A thread of a pool is not counted meanwhile, so that another one can take its place.
    """

    __slots__ = ("_lock", "_pool", "release")

    def __init__(self, pool: WorkerPool | None = None) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._lock.acquire()
        self.release = self._lock.release

    def wait(self, timeout: float) -> bool:
        if self._pool is None:
            return self._lock.acquire(timeout=timeout)
        if self._lock.acquire(blocking=False):
            return True
        with self._pool.lent_place():
            return self._lock.acquire(timeout=timeout)


class SensitiveGate:
    """Blocks the thread-sensitive thread, which serves other sensitive code meanwhile.

    Without that, whatever the client's data has to pass on its way here could itself wait for this thread.
    """

    __slots__ = ("_event", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def release(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            pass  # closed: whoever waits looks at that itself

    def wait(self, timeout: float) -> bool:
        try:
            return async_to_sync(self._passed)(timeout)
        except asyncio.CancelledError:
            raise ClientDisconnected("the request was cancelled") from None

    async def _passed(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
