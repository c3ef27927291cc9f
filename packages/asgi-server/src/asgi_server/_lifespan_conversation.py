"""The lifespan of an application, as a test drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._communicator import ApplicationCommunicator
from ._http_conversation import UnexpectedMessageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class LifespanConversation(ApplicationCommunicator):
    """The lifespan of *application*: startup when it is entered, shutdown when it is left.

    ``state`` is what the application keeps for its requests: give a copy of it to them. :meth:`startup` and
    :meth:`shutdown` may be called earlier by hand. Raises AssertionError if the application says that one
    failed.

    >>> import asyncio
    >>> async def application(scope, receive, send):
    ...     await receive()
    ...     scope["state"]["greeting"] = "hello"
    ...     await send({"type": "lifespan.startup.complete"})
    ...     await receive()
    ...     print("closing")
    ...     await send({"type": "lifespan.shutdown.complete"})
    >>> async def test():
    ...     async with LifespanConversation(application) as lifespan:
    ...         print(lifespan.state)
    >>> asyncio.run(test())
    {'greeting': 'hello'}
    closing
    """

    def __init__(self, application: Callable[..., Any], *, timeout: float | None = 1) -> None:
        self.state: dict[str, Any] = {}
        asgi = {"version": "3.0", "spec_version": "2.0"}
        super().__init__(application, {"type": "lifespan", "asgi": asgi, "state": self.state})
        self.timeout = timeout
        self._done: list[str] = []

    async def startup(self) -> None:
        """Send the startup event and wait until the application is ready."""
        await self._pass("startup")

    async def shutdown(self) -> None:
        """Send the shutdown event, wait until the application has cleaned up, and for its end."""
        await self._pass("shutdown")
        await self.wait(self.timeout)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self.startup()
        except BaseException as error:
            await super().__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None and "shutdown" not in self._done:
                await self.shutdown()
        finally:
            await super().__aexit__(kind, error, traceback)

    async def _pass(self, phase: str) -> None:
        if phase in self._done:
            raise RuntimeError(f"the application's {phase} was done already")
        self._done.append(phase)
        await self.send_input({"type": f"lifespan.{phase}"})
        message = await self._receive(f"lifespan.{phase}.complete", self.timeout)
        if message["type"] == f"lifespan.{phase}.failed":
            raise AssertionError(f"the application's {phase} failed: {message.get('message', '')}")
        if message["type"] != f"lifespan.{phase}.complete":
            raise UnexpectedMessageError(f"wanted lifespan.{phase}.complete, got {message!r}")
