"""Many small writes in few round trips, over one connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[Any], object]

# How many commands one round trip carries.
BATCH = 500


class Writer:
    """Commands that come while others are on their way to Redis go together in the next pipeline."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, write: Write) -> None:
        """Call *write* with a pipeline; returns when Redis has done it, or raises why not."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        await future

    async def close(self) -> None:
        """End; what waits is cancelled."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _flush(self) -> None:
        # It ends: every round trip has the client's timeout.
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for write, _ in batch:
                        write(pipeline)
                    results: list[object] = await pipeline.execute(raise_on_error=False)
            except Exception as error:
                results = cast("list[object]", [error] * len(batch))
            except BaseException:
                for _, future in batch + self._waiting:
                    future.cancel()
                self._waiting.clear()
                raise
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue  # the application was cancelled meanwhile
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(None)
