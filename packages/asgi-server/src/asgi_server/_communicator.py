"""Runs an application for a test that plays the server: sends what a server would, reads the answers."""

from __future__ import annotations

import asyncio
import contextvars
import reprlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ._callability import guarantee_single_callable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

# How long an application may go on after it was cancelled, in seconds, before it is called an error.
CANCEL_TIMEOUT = 5.0

# How many messages of each direction an error shows.
SHOWN = 5


class ApplicationEndedError(TimeoutError):
    """The application has ended, so what was waited for cannot come.

    It is a TimeoutError, because a test that expects no answer expects one of those.
    """


class ApplicationCommunicator:
    """Runs *application* with *scope* in a task of its own, in an empty context, from its first use on.

    Every method must be used on one event loop. As an async context manager it starts the application, and at
    the end stops it and raises the error of an application that failed unnoticed:

    >>> async def application(scope, receive, send):
    ...     message = await receive()
    ...     await send({"type": "reply", "text": message["text"].upper()})
    >>> async def test():
    ...     async with ApplicationCommunicator(application, {"type": "chat"}) as chat:
    ...         await chat.send_input({"type": "message", "text": "hello"})
    ...         print(await chat.receive_output())
    >>> asyncio.run(test())
    {'type': 'reply', 'text': 'HELLO'}

    Timeouts are in seconds, None means no limit. A timeout of :meth:`receive_output` leaves the application
    running (asgiref #417, #518).
    """

    def __init__(self, application: Callable[..., Any], scope: Any) -> None:
        if not callable(application):
            raise TypeError(f"the application must be callable, not {application!r}")
        self.application: Callable[..., Any] = guarantee_single_callable(application)
        self.scope = scope
        self._future: asyncio.Task[None] | None = None
        self._input_queue: asyncio.Queue[Any] | None = None
        self._output_queue: asyncio.Queue[Any] | None = None
        self._sent: deque[Any] = deque(maxlen=SHOWN)
        self._received: deque[Any] = deque(maxlen=SHOWN)
        self._counts = {"sent": 0, "received": 0}
        self._error_seen = False

    # The queues are made when they are needed, so that subclasses may use names of their own before
    # super().__init__.

    @property
    def input_queue(self) -> asyncio.Queue[Any]:
        """What the application has not received yet."""
        if self._input_queue is None:
            self._input_queue = asyncio.Queue()
        return self._input_queue

    @property
    def output_queue(self) -> asyncio.Queue[Any]:
        """What the application has sent and the test has not received."""
        if self._output_queue is None:
            self._output_queue = asyncio.Queue()
        return self._output_queue

    @property
    def future(self) -> asyncio.Task[None]:
        """The application's task, which is started by the first look at it."""
        if self._future is None:
            # An empty context, as for a request that a server serves: the test's context variables are not
            # its own.
            self._future = asyncio.create_task(self._run(), context=contextvars.Context())
        return self._future

    async def _run(self) -> None:
        await self.application(self.scope, self.input_queue.get, self.output_queue.put)

    async def wait(self, timeout: float | None = 1) -> None:
        """Wait for the application's end and raise its error, if it has one; its own cancellation is none.

        After *timeout* seconds the application is cancelled and TimeoutError raised. If the caller is
        cancelled, the application is cancelled too and CancelledError raised.
        """
        future = self.future
        try:
            await asyncio.wait({future}, timeout=timeout)
        except asyncio.CancelledError:
            await self._cancel()
            raise
        if future.done():
            self._raise_error()
            return
        try:
            raise TimeoutError(self._describe("the application's end", timeout))
        finally:
            await self._cancel()
            # An error of the application's cleanup says more than the timeout, which becomes its context.
            self._raise_error()

    def stop(self, exceptions: bool = True) -> None:
        """Cancel the application if it runs, without waiting; else raise its error, if *exceptions*."""
        future = self._future
        if future is None:
            return
        if not future.done():
            future.cancel()
        elif exceptions:
            self._raise_error()

    def __del__(self) -> None:
        try:
            self.stop(exceptions=False)
        except (AttributeError, RuntimeError):
            pass  # __init__ did not come far, or the event loop is closed

    async def send_input(self, message: Any) -> None:
        """Give *message* to the application's ``receive``. Raises the error of one that has failed."""
        if self.future.done():
            self._raise_error()
        self._note("sent", message)
        await self.input_queue.put(message)

    async def receive_output(self, timeout: float | None = 1) -> Any:
        """Return the next message that the application sends.

        What it sent before its end can still be read. After that, its error is raised, at once; or
        :exc:`ApplicationEndedError` if it has none. TimeoutError after *timeout* seconds: it says what was
        sent and received so far, and the application goes on.
        """
        return await self._receive("a message", timeout)

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Return True if the application sends nothing in *timeout* seconds, else False at once.

        Looks every *interval* seconds. Returns True at once if the application has ended, and raises its
        error if it failed. The message stays where it is.
        """
        future = self.future
        deadline = time.monotonic() + timeout
        while self.output_queue.empty():
            if future.done():
                self._raise_error()
                return True
            if time.monotonic() >= deadline:
                return True
            await asyncio.wait({future}, timeout=interval)
        return False

    async def __aenter__(self) -> Self:
        _ = self.future
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._cancel()
        failure = self._failure()
        if failure is None or failure is error or self._error_seen:
            return
        if error is None:
            self._raise_error()
        else:
            self._error_seen = True
            error.add_note(f"The application failed too: {failure!r}")

    async def _receive(self, wanted: str, timeout: float | None) -> Any:
        future, queue = self.future, self.output_queue
        if queue.empty() and not future.done():
            await self._output_or_end(timeout)
        if not queue.empty():
            message = queue.get_nowait()
            self._note("received", message)
            return message
        if not future.done():
            raise TimeoutError(self._describe(wanted, timeout))
        self._raise_error()
        raise ApplicationEndedError(self._describe(wanted, None))

    async def _output_or_end(self, timeout: float | None) -> None:
        # Returns when there is output, when the application has ended, or after the timeout.
        getting = asyncio.create_task(self.output_queue.get())
        try:
            await asyncio.wait({getting, self.future}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            getting.cancel()
            await asyncio.wait({getting})
            if not getting.cancelled():
                self._put_back(getting.result())

    def _put_back(self, message: Any) -> None:
        queue = self.output_queue
        later = [message]
        while not queue.empty():
            later.append(queue.get_nowait())
        for item in later:
            queue.put_nowait(item)

    async def _cancel(self) -> None:
        future = self._future
        if future is None or future.done():
            return
        future.cancel()
        await asyncio.wait({future}, timeout=CANCEL_TIMEOUT)
        if not future.done():
            raise RuntimeError(f"the application ignores its cancellation for {CANCEL_TIMEOUT:g} s")

    def _failure(self) -> BaseException | None:
        future = self._future
        if future is None or not future.done() or future.cancelled():
            return None
        return future.exception()

    def _raise_error(self) -> None:
        error = self._failure()
        if error is not None:
            self._error_seen = True
            raise error

    def _note(self, direction: str, message: Any) -> None:
        (self._sent if direction == "sent" else self._received).append(message)
        self._counts[direction] += 1

    def _describe(self, wanted: str, timeout: float | None) -> str:
        future = self._future
        if future is None or not future.done():
            state = f"waited {timeout} s for {wanted}; the application is still running"
        elif future.cancelled():
            state = f"waited for {wanted}, but the application was cancelled"
        else:
            state = f"waited for {wanted}, but the application has returned"
        return f"{state}. {self._history('sent', self._sent)}; {self._history('received', self._received)}."

    def _history(self, direction: str, messages: deque[Any]) -> str:
        count = self._counts[direction]
        if not count:
            return f"Nothing was {direction} so far" if direction == "sent" else f"nothing was {direction}"
        shown = ", ".join(reprlib.repr(message) for message in messages)
        earlier = "... " if count > len(messages) else ""
        start = "Sent" if direction == "sent" else "received"
        return f"{start} so far ({count}): {earlier}{shown}"
