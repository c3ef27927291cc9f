"""One run of a server: handle() and the checker run until one ends it, then everything is shut down."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from . import _closing
from ._lifespan import LifespanRun
from ._observer import notify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._pool import Pool
    from ._stateless_server import StatelessServer

logger = logging.getLogger("asgi_server.server")


class Serving:
    """What is behind ``arun()``. Belongs to one event loop."""

    def __init__(self, server: StatelessServer, pool: Pool) -> None:
        self._server = server
        self._pool = pool
        self._options = pool.options
        self.loop = pool.loop
        # Futures and not Events: they are waited for beside tasks, and a task that waits would be one more to
        # end.
        self._stop: asyncio.Future[None] = self.loop.create_future()
        self._hurry: asyncio.Future[None] = self.loop.create_future()

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.done()

    def stop(self) -> None:
        """Ask for the end; a second time: do not wait for instances to handle what they have."""
        if not self._stop.done():
            self._stop.set_result(None)
        elif not self._hurry.done():
            self._hurry.set_result(None)

    async def run(self) -> None:
        """Serve until handle() ends, stop() is called or this is cancelled; raises what handle() raised."""
        self._pool.draining = self._pool.closed = False
        lifespan = self._lifespan()
        if lifespan is not None:
            await lifespan.startup()
            self._pool.lifespan_state = lifespan.state if lifespan.supported else None
        patience = self._options.shutdown_timeout
        handler = self.loop.create_task(self._handle())
        checker = self.loop.create_task(self._check())
        try:
            await self._watch(handler, checker)
        except asyncio.CancelledError:
            patience = 0
            raise
        finally:
            await self._shut_down(handler, checker, patience)
            if (
                patience == 0
                and handler.done()
                and not handler.cancelled()
                and (error := handler.exception()) is not None
            ):
                logger.error("handle() failed while the server was cancelled", exc_info=error)
            if lifespan is not None:
                await lifespan.shutdown()
        if handler.done() and not handler.cancelled():
            handler.result()

    def _lifespan(self) -> LifespanRun | None:
        if self._options.lifespan == "off":
            return None
        return LifespanRun(self._pool.calls.caller(), self._options.lifespan, self._options.lifespan_timeout)

    async def _watch(self, handler: asyncio.Task[None], checker: asyncio.Task[None]) -> None:
        watched: set[asyncio.Future[None]] = {handler, checker, self._stop}
        while True:
            # No timeout: a server serves until somebody ends it.
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if handler in done:
                handler.result()
                return
            if checker in done:
                checker.result()
                watched.discard(checker)
            if self._stop in done:
                return

    async def _check(self) -> None:
        await self._server.application_checker()

    async def _handle(self) -> None:
        policy = self._options.restart
        attempt = 0
        while True:
            started = time.monotonic()
            try:
                return await self._server.handle()
            except Exception as error:
                task = asyncio.current_task()
                if policy is None or (task is not None and task.cancelling()):
                    raise
                attempt = 1 if time.monotonic() - started >= policy.reset_after else attempt + 1
                if policy.attempts is not None and attempt > policy.attempts:
                    raise
                delay = policy.delay(attempt)
                logger.exception("handle() failed; restart %d in %g s", attempt, delay)
                notify(self._options.observer, "handler_restarting", error, attempt, delay)
            await asyncio.sleep(delay)

    async def _shut_down(
        self, handler: asyncio.Task[None], checker: asyncio.Task[None], patience: float
    ) -> None:
        deadline = time.monotonic() + patience
        try:
            await self._end((handler, checker), patience)
            await self._drain(deadline - time.monotonic())
        finally:
            await _closing.stop(self._pool)

    async def _end(self, tasks: Iterable[asyncio.Task[None]], patience: float) -> None:
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            _, late = await asyncio.wait(running, timeout=max(patience, self._options.cancel_timeout))
            if late:
                logger.error("handle() or application_checker() ignores its cancellation: %r", late)

    async def _drain(self, patience: float) -> None:
        drain = self.loop.create_task(_closing.drain(self._pool, patience))
        try:
            # It ends: drain() itself has the timeout.
            await asyncio.wait({drain, self._hurry}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drain.cancel()
            await asyncio.wait({drain})
