"""Errors of applications on their way to ``application_exception``, which cannot stop or delay the server."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._roster import Roster
    from ._stateless_server import StatelessServer

logger = logging.getLogger("asgi_server.server")


class Reports:
    """The calls of ``application_exception`` that have not returned, each in a task of its own."""

    def __init__(self, server: StatelessServer) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, error: BaseException, details: dict[str, Any]) -> None:
        """Start to report *error*, on the running loop."""
        task = asyncio.get_running_loop().create_task(self._report(error, details))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def look_for_foreign(self, roster: Roster) -> None:
        """Report and forget what somebody put into ``application_instances`` by hand and is done."""
        for scope_id, entry in roster.foreign():
            future = entry["future"]
            if future.done():
                del roster.instances[scope_id]
                if not future.cancelled() and (error := future.exception()) is not None:
                    self.add(error, entry)

    async def _report(self, error: BaseException, details: dict[str, Any]) -> None:
        try:
            reported = self._server.application_exception(error, details)
            if inspect.isawaitable(reported):
                await reported
        except Exception:
            scope_id = getattr(details, "scope_id", None)
            logger.exception("application_exception() failed for scope %r, called with %r", scope_id, error)

    async def finish(self, timeout: float) -> None:
        """Wait up to *timeout* seconds for what is under way, then cancel it and wait as long again."""
        tasks = [task for task in self._tasks if task.get_loop() is asyncio.get_running_loop()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            logger.error("%d application_exception() call(s) did not return in %g s", len(late), timeout)
            await asyncio.wait(late, timeout=timeout)
