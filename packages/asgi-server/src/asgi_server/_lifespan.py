"""The server's side of the lifespan protocol (ASGI lifespan specification 2.0)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ._errors import LifespanError

if TYPE_CHECKING:
    from ._calling import Caller
    from ._options import Lifespan

logger = logging.getLogger("asgi_server.server")


class LifespanRun:
    """One run of the application with the lifespan scope, in a task of its own."""

    def __init__(self, call: Caller, mode: Lifespan, timeout: float) -> None:
        self._call = call
        self._mode = mode
        self._timeout = timeout
        self._to_application: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._task: asyncio.Task[Any] | None = None
        self.state: dict[str, Any] = {}
        self.supported = False

    async def startup(self) -> None:
        """Start the application; returns when it is ready or, with "auto", does not know the protocol.

        Raises LifespanError if it says so, or with "on" if it does not know the protocol, and after the
        timeout.
        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.get_running_loop().create_task(self._run(scope))
        try:
            answer = await self._ask("startup")
        except BaseException:
            await self.abort()
            raise
        if answer is not None:
            self.supported = True
            return
        error = self._task.exception() if not self._task.cancelled() else asyncio.CancelledError()
        if self._mode == "on":
            raise LifespanError("the application ended before it completed its lifespan startup") from error
        logger.info("the application does not support the lifespan protocol: %r", error)

    async def shutdown(self) -> None:
        """End the application's lifespan. Raises LifespanError if it fails, and after the timeout."""
        if not self.supported or self._task is None:
            return
        try:
            if not self._task.done() and await self._ask("shutdown") is not None:
                await asyncio.wait({self._task}, timeout=self._timeout)
        finally:
            await self.abort()
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise LifespanError("the application failed in its lifespan") from error

    async def abort(self) -> None:
        """Cancel the task if it still runs, and wait for its end, up to the timeout."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            _, late = await asyncio.wait({self._task}, timeout=self._timeout)
            if late:
                logger.error("the application's lifespan ignores its cancellation for %g s", self._timeout)

    async def _run(self, scope: dict[str, Any]) -> None:
        await self._call(scope, self._to_application.get, self._send)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._answer is None or self._answer.done():
            raise LifespanError(f"the application sent {message!r}, which nobody waits for")
        self._answer.set_result(message)

    async def _ask(self, phase: str) -> dict[str, Any] | None:
        # Returns the application's answer, or None if it ended without one.
        assert self._task is not None
        self._to_application.put_nowait({"type": f"lifespan.{phase}"})
        self._answer = asyncio.get_running_loop().create_future()
        waited_for: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(waited_for, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            if self._task.done():
                return None
            raise LifespanError(f"the application did not answer lifespan.{phase} in {self._timeout:g} s")
        answer = self._answer.result()
        kind = answer.get("type")
        if kind == f"lifespan.{phase}.failed":
            raise LifespanError(f"lifespan {phase} failed: {answer.get('message', '')}")
        if kind != f"lifespan.{phase}.complete":
            raise LifespanError(f"the application answered lifespan.{phase} with {answer!r}")
        return answer
