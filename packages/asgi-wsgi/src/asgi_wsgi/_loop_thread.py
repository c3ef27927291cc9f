"""An event loop in a thread of its own, with the lifespan of an ASGI application in it."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ._error_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._types import ASGIApplication

    Lifespan: TypeAlias = Literal["auto", "on", "off"]


class LoopThread:
    """Runs a loop from ``start()`` to ``stop()``, and in it the lifespan protocol of the application."""

    def __init__(
        self,
        application: ASGIApplication,
        lifespan: Lifespan,
        shutdown_timeout: float,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    ) -> None:
        self.process: int = os.getpid()
        self.state: dict[str, Any] | None = None
        self.loop: asyncio.AbstractEventLoop
        self._application = application
        self._lifespan = lifespan
        self._timeout = shutdown_timeout
        self._loop_factory = loop_factory
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._stop: asyncio.Event
        # A daemon: what has to be done at the end of the process is done by stop(), called at exit.
        self._thread = threading.Thread(target=self._run, name="asgi-wsgi-loop", daemon=True)

    def start(self) -> None:
        """Start the loop and wait for the startup of the application.

        Raises whatever keeps the application from starting. There is no limit of time: only the application
        knows how long its startup may take.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def is_alive(self) -> bool:
        """Whether the loop still runs, in this process."""
        return self.process == os.getpid() and self._thread.is_alive()

    def stop(self) -> None:
        """Cancel what still runs, shut the application down, end the thread. Bounded by the timeout."""
        if not self.is_alive():
            return
        try:
            self.loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            return  # it has just ended
        self._thread.join(2 * self._timeout + 1)
        if self._thread.is_alive():
            log.error("the ASGI application did not shut down within %g seconds", self._timeout)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                self.loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as exc:
            if self._started.is_set():
                log.error("the event loop of an ASGI application ended", exc_info=exc)
            else:
                self._error = exc
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        protocol = LifespanProtocol(self._application)
        if self._lifespan != "off":
            await protocol.startup(required=self._lifespan == "on")
            self.state = protocol.state if protocol.supported else None
        self._started.set()
        await self._stop.wait()  # until the adapter is closed, or the process exits
        requests = asyncio.all_tasks() - {asyncio.current_task(), protocol.task}
        for task in requests:
            task.cancel()
        if requests:
            await asyncio.wait(requests, timeout=self._timeout)
        await protocol.shutdown(self._timeout)


class LifespanProtocol:
    """The server's side of the ASGI lifespan protocol."""

    def __init__(self, application: ASGIApplication) -> None:
        self._application = application
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self.state: dict[str, Any] = {}
        self.task: asyncio.Task[None] | None = None
        self.supported = False

    async def startup(self, *, required: bool) -> None:
        """Start the application; raise if it failed, or if a lifespan is required and not there."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self.task = asyncio.create_task(self._run(scope))
        self._inbox.put_nowait({"type": "lifespan.startup"})
        answer = await self._outbox.get()  # the application's message, or how it ended instead
        if answer is None or isinstance(answer, BaseException):
            if required:
                raise RuntimeError("the ASGI application does not support lifespan='on'") from answer
        elif answer["type"] == "lifespan.startup.complete":
            self.supported = True
        else:
            raise RuntimeError(f"the ASGI application failed to start: {answer.get('message') or answer!r}")

    async def _run(self, scope: dict[str, Any]) -> None:
        error: BaseException | None = None
        try:
            await self._application(scope, self._inbox.get, self._outbox.put)
        except Exception as exc:
            error = exc
            if self.supported:
                log.error("the lifespan of an ASGI application failed", exc_info=exc)
        finally:
            self._outbox.put_nowait(error)

    async def shutdown(self, timeout: float) -> None:
        """Tell the application to shut down and wait for it, for at most so many seconds."""
        if self.task is None or self.task.done():
            return
        if self.supported:
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            await asyncio.wait((self.task,), timeout=timeout)
        if not self.task.done():
            self.task.cancel()
