"""How to call an application: found out once, not for every instance."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ._callability import guarantee_single_callable

if TYPE_CHECKING:
    from ._instance import Instance
    from ._stateless_server import StatelessServer

Caller = Callable[[Any, Any, Any], Awaitable[Any]]


class Calls:
    """Calls of a server's application, on the running loop."""

    def __init__(self, server: StatelessServer) -> None:
        self._server = server
        self._caller: tuple[object, Caller] | None = None

    def caller(self) -> Caller:
        """How the application is called; looked at once, until there is another application."""
        application = self._server.application
        if self._caller is None or self._caller[0] is not application:
            self._caller = application, application_caller(application)
        return self._caller[1]

    def start(self, instance: Instance, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """Call the application for the instance; whatever goes wrong is in the future."""
        try:
            awaitable = self.caller()(instance["scope"], instance.receive, instance.send)
            if asyncio.iscoroutine(awaitable):
                return loop.create_task(awaitable)
            return asyncio.ensure_future(awaitable)
        except Exception as error:
            # Not even an application that raises before it returns a coroutine reaches handle().
            return loop.create_task(_fail(error))

    async def start_later(self, instance: Instance, gate: asyncio.Future[None]) -> None:
        """Call the application when the gate opens."""
        # It opens: places become free by the grace period and cancel_timeout, and the gate of a successor
        # opens at the end of its predecessor, or the successor is cancelled when the predecessor turns out to
        # be stuck.
        await gate
        await self.caller()(instance["scope"], instance.receive, instance.send)


async def _fail(error: Exception) -> None:
    raise error


def application_caller(application: object) -> Caller:
    """Return a function that calls *application* with scope, receive and send the way that it can be called.

    An application that takes the keywords ``scope``, ``receive`` and ``send`` gets them, as from asgiref's
    server. Any other is called positionally: the specification leaves the names of the parameters to the
    application.
    """
    if not callable(application):
        raise TypeError(f"the application must be callable, not {application!r}")
    single = guarantee_single_callable(application)
    if not _takes_keywords(single):
        return single

    def call(scope: Any, receive: Any, send: Any) -> Awaitable[Any]:
        awaitable: Awaitable[Any] = single(scope=scope, receive=receive, send=send)
        return awaitable

    return call


def _takes_keywords(application: Callable[..., Any]) -> bool:
    try:
        inspect.signature(application).bind(scope=None, receive=None, send=None)
    except (TypeError, ValueError):
        # Other names, or an extension function that shows no signature.
        return False
    return True
