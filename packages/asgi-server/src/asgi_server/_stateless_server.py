"""The class to build on: many scopes in one stream, an application instance for each."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ._errors import ScopeBlockedError, ServerClosedError
from ._inbox import Tracked
from ._instance import Instance
from ._options import Options, whole_number
from ._pool import Pool
from ._running import run_server
from ._serving import Serving
from ._submissions import Submissions

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from concurrent.futures import Future

    from ._inbox import Inbox, Outcome
    from ._observer import Observer
    from ._options import Backoff, Lifespan

logger = logging.getLogger("asgi_server.server")


class StatelessServer:
    """Runs one instance of an ASGI application for each scope of a protocol that has no connections.

    Subclass it and write :meth:`handle`, which reads the messages of a bot, a queue, a mailbox or a socket
    and gives each to the application instance of its scope, and :meth:`application_send`, which takes what
    applications send:

    >>> class Greeter(StatelessServer):
    ...     async def handle(self):
    ...         for user, text in [("ann", "hello"), ("bob", "hi"), ("ann", "bye")]:
    ...             await self.dispatch(user, {"type": "chat", "user": user}, {"text": text})
    ...     async def application_send(self, scope, message):
    ...         print(scope["user"], "gets", message["text"])
    >>> async def application(scope, receive, send):
    ...     while True:
    ...         message = await receive()
    ...         await send({"text": message["text"].upper()})
    >>> Greeter(application).run()
    ann gets HELLO
    ann gets BYE
    bob gets HI

    An instance starts with the first message for its ``scope_id``. Asking for the next message says that the
    last one is handled. The error of an instance is given to :meth:`application_exception` at once. Messages
    that are still queued when an instance ends go to a new one; a message that no instance received is
    reported as dropped.

    *application* is called with the keywords ``scope``, ``receive`` and ``send`` if it takes them, else
    positionally; ASGI 2 applications are adapted. At most *max_applications* instances run at a time: the
    least recently used one makes room. Further arguments, all times in seconds:

    * ``queue_maxsize``: messages that may wait for one instance, 0 for any number. A put then waits.
    * ``idle_timeout``: end an instance that had no message for so long; None for never.
    * ``eviction_grace``: how long an instance that makes room may work on what it has before it is cancelled.
    * ``shutdown_timeout``: the same for all instances together when the server stops.
    * ``cancel_timeout``: after so long a cancelled instance is reported as stuck. It no longer counts, and
      its scope gets no new instance until it has ended.
    * ``final_event``: a function of ``scope_id`` and ``scope`` that returns the last message for an instance
      that is evicted, idle or shut down, or None for no such message.
    * ``lifespan``: "on" or "auto" runs the lifespan protocol around :meth:`handle`; "on" insists that the
      application supports it; ``lifespan_timeout`` limits its startup and its shutdown. What the application
      keeps in ``state`` is copied into every scope that is a dict.
    * ``restart``: a :class:`Backoff` that says how to start :meth:`handle` again after it raised an
      exception.
    * ``observer``: an :class:`Observer`, for metrics.

    Raises TypeError or ValueError for limits and times that make no sense. Everything runs on the event loop
    of :meth:`arun`; only :meth:`submit` and :meth:`stop` may be called from other threads.
    """

    application_checker_interval: float = 0.1

    def __init__(
        self,
        application: Any,
        max_applications: int = 1000,
        *,
        queue_maxsize: int = 0,
        idle_timeout: float | None = None,
        eviction_grace: float = 5.0,
        shutdown_timeout: float = 10.0,
        cancel_timeout: float = 5.0,
        final_event: Callable[[Hashable, Any], Any] | None = None,
        lifespan: Lifespan = "off",
        lifespan_timeout: float = 60.0,
        restart: Backoff | None = None,
        observer: Observer | None = None,
    ) -> None:
        whole_number("max_applications", max_applications, minimum=1)
        # None stands for "set later", which subclasses do; it is refused when an instance is made.
        if application is not None and not callable(application):
            raise TypeError(f"the application must be callable, not {application!r}")
        self.application = application
        self.max_applications = max_applications
        options = Options(
            queue_maxsize=queue_maxsize,
            idle_timeout=idle_timeout,
            eviction_grace=eviction_grace,
            shutdown_timeout=shutdown_timeout,
            cancel_timeout=cancel_timeout,
            final_event=final_event,
            lifespan=lifespan,
            lifespan_timeout=lifespan_timeout,
            restart=restart,
            observer=observer,
        )
        self._pool = Pool(self, options)
        self._serving: Serving | None = None
        self._submissions = Submissions()
        self.application_instances: dict[Hashable, Any] = self._pool.roster.instances

    ### What a subclass writes

    async def handle(self) -> None:
        """Read messages and dispatch them; the server stops when it returns. A subclass must write it."""
        raise NotImplementedError(f"{type(self).__name__} must implement handle()")

    async def application_send(self, scope: Any, message: Any) -> None:
        """Deal with what an application sends, in its ``await send(message)``. A subclass must write it."""
        raise NotImplementedError(f"{type(self).__name__} must implement application_send()")

    async def application_exception(
        self, exception: BaseException, application_details: dict[str, Any]
    ) -> None:
        """Called with the error of every instance that raised one, in a task of its own; logs it.

        *application_details* is the instance's entry of ``application_instances``; its attribute ``scope_id``
        says whose it was.
        """
        scope_id = getattr(application_details, "scope_id", None)
        logger.error("Exception inside application: %s (scope %r)", exception, scope_id, exc_info=exception)

    async def application_checker(self) -> None:
        """Runs beside :meth:`handle`. Instances report their ends themselves, so it has little to do.

        It looks, every ``application_checker_interval`` seconds, for entries that somebody put into
        ``application_instances`` by hand, and reports those whose future is done. Override it for periodic
        work.
        """
        while True:
            await asyncio.sleep(self.application_checker_interval)
            self._pool.reports.look_for_foreign(self._pool.roster)

    ### Running

    def run(self) -> None:
        """Run the server in a new event loop, in this thread, until it stops.

        In the main thread SIGINT and SIGTERM stop it, unless the program has a handler of its own for them:
        :meth:`handle` is cancelled, every instance may work on what it has for ``shutdown_timeout`` seconds,
        then it is cancelled, and this method returns. A second signal cuts the waiting short. Raises what
        :meth:`handle` raised.
        """
        run_server(self)

    async def arun(self) -> None:
        """Run the server in the running event loop until :meth:`handle` returns or :meth:`stop` is called.

        Then every instance is drained, cancelled and awaited; no task is left. If this coroutine is
        cancelled, instances are cancelled at once. Raises what :meth:`handle` or :meth:`application_checker`
        raised, and RuntimeError if the server is running already.
        """
        if self._serving is not None:
            raise RuntimeError("the server is running already")
        self._serving = Serving(self, self._pool)
        self._submissions.open(self._serving.loop)
        try:
            await self._serving.run()
        finally:
            self._serving = None
            self._submissions.close()

    def stop(self) -> None:
        """Ask the running server to stop as a signal does; may be called from any thread.

        A second call cuts the draining short. Does nothing if the server does not run.
        """
        serving = self._serving
        if serving is not None:
            serving.loop.call_soon_threadsafe(serving.stop)

    ### Messages

    async def dispatch(
        self,
        scope_id: Hashable,
        scope: Any,
        message: Any,
        *,
        on_settled: Callable[[Outcome], None] | None = None,
    ) -> None:
        """Give *message* to the instance of the scope; returns when it is in its queue.

        Waits while the queue is full, and while a new instance would have to stand in line for a place: this
        is the backpressure that :meth:`get_or_create_application_instance` cannot give.

        *on_settled* is called once, on this loop: with "handled" when the application asks for its next
        message or returns, "failed" when it raises with this one in hand, "cancelled" when it is cancelled
        with this one in hand, "dropped" when nobody received it.

        Raises ServerClosedError after the shutdown, ScopeBlockedError if the scope's last instance ignores
        its cancellation.
        """
        pool = self._pool
        if scope_id not in self.application_instances:
            if pool.closed:
                raise ServerClosedError("the server has shut down")
            if pool.leaving.is_blocked(scope_id):
                raise ScopeBlockedError(f"the last instance of scope {scope_id!r} ignores its cancellation")
            await pool.no_line()
        inbox = await self.get_or_create_application_instance(scope_id, scope).with_room()
        if pool.closed:
            raise ServerClosedError("the server shut down while the message waited")
        inbox.deliver(message if on_settled is None else Tracked(message, on_settled))

    def submit(self, scope_id: Hashable, scope: Any, message: Any) -> Future[None]:
        """:meth:`dispatch` for other threads. The future is done when the message is in the queue.

        Raises ServerClosedError if the server does not run; the future gets it if the server stops meanwhile.
        """
        return self._submissions.add(lambda: self.dispatch(scope_id, scope, message))

    ### Instances

    def get_or_create_application_instance(self, scope_id: Hashable, scope: Any) -> Inbox:
        """Return the queue of the scope's instance, which is started if there is none.

        The queue has ``put`` and ``put_nowait`` and is unbounded unless ``queue_maxsize`` says otherwise. A
        message put after the instance has ended starts a new one. Must be called on the event loop. Raises
        ServerClosedError after the shutdown, TypeError if the application cannot be called.
        """
        roster = self._pool.roster
        instance: object = roster.instances.get(scope_id)
        if type(instance) is not Instance or instance.task.done():
            return self._pool.get_or_create(scope_id, scope)
        # The usual case, without another call.
        roster.touch(instance)
        return instance.inbox

    def delete_oldest_application_instance(self) -> None:
        """Evict the least recently used instance."""
        self._pool.delete_oldest()

    def delete_application_instance(self, scope_id: Hashable) -> None:
        """Evict the scope's instance; it is cancelled after it has handled its messages. KeyError if none."""
        self._pool.delete(scope_id)
