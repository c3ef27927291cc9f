"""One request to an ASGI application: a task on its loop, and the WSGI server's thread at the other end."""

from __future__ import annotations

import asyncio
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from asgi_sync.lowlevel import arrived, carried_copy

from ._error_log import log
from ._errors import ClientDisconnected
from ._wsgi_input import WsgiInput

if TYPE_CHECKING:
    from contextvars import Context

    from ._loop_thread import LoopThread
    from ._types import ASGIApplication, Message

# Seconds after which a waiting thread looks whether the loop still runs.
LOOK_INTERVAL = 5.0

BODY_WANTED: Final = "body wanted"
ENDED: Final = "ended"


class AsgiCall:
    """Runs the application in a task; hands on what it sends, and reads for it what the client sends.

    The server's thread does all that may block on the client: it reads ``wsgi.input`` when the application
    waits in ``receive()``, and takes the blocks of the response as fast as the client does.
    """

    def __init__(self, application: ASGIApplication, scope: Any, host: LoopThread, window: int) -> None:
        self._application = application
        self._scope = scope
        self._host = host
        self._window = window
        self._input = WsgiInput(scope["extensions"]["wsgi.environ"]["environ"])
        self._events: SimpleQueue[Any] = SimpleQueue()
        self._error: BaseException | None = None
        # From here on the loop's.
        self._queued = 0
        self._started = False
        self._complete = False
        self._closed = False
        self._body_complete = False
        self._arrived: deque[Message] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._over: asyncio.Event
        self._task: asyncio.Task[None]
        host.loop.call_soon_threadsafe(self._begin, carried_copy())

    # The server's thread.

    def next_message(self) -> Any:
        """Return the next message of the application, None when it has come to its end.

        Waits as long as the application takes, and reads the request body for it meanwhile. What the
        application raised is raised here.
        """
        while True:
            event = self._next_event()
            if event is BODY_WANTED:
                self._to_loop(self._deliver, self._input.message())
            elif event is ENDED:
                self._events.put(ENDED)  # for whoever asks again
                error, self._error = self._error, None
                if error is not None:
                    try:
                        raise error
                    finally:
                        del error
                return None
            else:
                body = event.get("body")
                if body:
                    self._to_loop(self._taken, len(body))
                return event

    def _next_event(self) -> Any:
        while True:
            try:
                return self._events.get(timeout=LOOK_INTERVAL)
            except Empty:
                if not self._host.is_alive():
                    raise RuntimeError("the event loop of the ASGI application has ended") from None

    def end(self) -> None:
        """End the request: the application is cancelled if its response is incomplete.

        Waits until it has ended, however long that takes: the task of a request never outlives it.
        """
        self._to_loop(self._close, None)
        while True:
            event = self._next_event()
            if event is BODY_WANTED:
                self._to_loop(self._deliver, {"type": "http.disconnect"})
            elif event is ENDED:
                self._events.put(ENDED)
                error, self._error = self._error, None
                if error is not None:
                    log.error("an ASGI application failed after its request had ended", exc_info=error)
                return

    def _to_loop(self, function: Any, argument: Any) -> None:
        try:
            self._host.loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            self._events.put(ENDED)  # the loop is closed, and nothing runs there any more

    # The loop.

    def _begin(self, context: Context) -> None:
        self._over = asyncio.Event()
        self._task = self._host.loop.create_task(self._run(), context=context)
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        arrived()
        await self._application(self._scope, self._receive, self._send)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            if not self._closed:
                self._error = RuntimeError("the ASGI application was cancelled")
        elif not (self._closed and isinstance(task.exception(), ClientDisconnected)):
            self._error = task.exception()
        if self._error is None and not self._complete and not self._closed:
            what = "completing its response" if self._started else "sending a response"
            self._error = RuntimeError(f"the ASGI application returned without {what}")
        self._events.put(ENDED)

    def _close(self, _: None) -> None:
        self._closed = True
        self._over.set()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if not self._complete:
            self._task.cancel()

    async def _receive(self) -> Message:
        while not self._arrived:
            if self._body_complete or self._over.is_set():
                await self._over.wait()  # ends with the response, or when the server closes it
                return {"type": "http.disconnect"}
            if self._arrival is None:
                self._arrival = asyncio.get_running_loop().create_future()
                self._events.put(BODY_WANTED)
            # Shielded: a receive() that is cancelled leaves the message to the next one.
            await asyncio.shield(self._arrival)
        return self._arrived.popleft()

    def _deliver(self, message: Message) -> None:
        self._arrived.append(message)
        if message["type"] == "http.disconnect":
            self._body_complete = True
            self._over.set()
        elif not message["more_body"]:
            self._body_complete = True
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)

    def _taken(self, size: int) -> None:
        self._queued -= size
        if self._room is not None and not self._room.done() and self._queued * 2 <= self._window:
            self._room.set_result(None)

    async def _send(self, message: Any) -> None:
        kind = message["type"]
        if self._closed:
            raise ClientDisconnected("the client disconnected before the response was complete")
        if kind == "http.response.start":
            if self._started:
                raise RuntimeError("http.response.start was sent twice")
            self._started = True
            self._events.put(message)
            return
        if kind != "http.response.body":
            raise ValueError(f"expected http.response.start or http.response.body, not {kind!r}")
        if not self._started:
            raise RuntimeError("http.response.body was sent before http.response.start")
        if self._complete:
            raise RuntimeError("http.response.body was sent after the response was complete")
        self._complete = not message.get("more_body", False)
        self._queued += len(message.get("body", b""))
        self._events.put(message)
        if self._complete:
            self._over.set()
        elif self._queued > self._window:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
            if self._closed:
                raise ClientDisconnected("the client disconnected before the response was complete")
