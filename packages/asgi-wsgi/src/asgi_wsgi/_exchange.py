"""One HTTP request on the event loop: receiving, sending, and noticing that the client has gone."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ._application_run import ApplicationRun
from ._error_log import log
from ._errors import ClientDisconnected, RequestBodyError, RequestRefused, name_request
from ._file_wrapper import FileWrapper
from ._outbox import Outbox
from ._refusal import refuse
from ._request_body import StreamedBody, check_announced, collect_body, request_part, too_slow
from ._request_headers import content_length_of
from ._sending import StallClock, send_each, send_merged

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._mailbox import Mailbox
    from ._options import Options
    from ._response import Response
    from ._threads import Threads
    from ._types import Receive, Scope, Send


# Seconds that a response in pieces takes before anybody looks whether the client is there: most are over by then.
WATCH_AFTER = 0.05


class Exchange:
    """Carries one request to a WSGI application and its response back.

    A response that is there as a whole when the application's thread comes back is sent by the request's own
    task. One that comes in pieces gets a task that sends and, if it lasts, one that watches ``receive()``, as
    servers say nothing to ``send()`` when the client has gone. Both end with the request.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, options: Options, response: Response
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._options = options
        self._response = response
        self._outbox: Outbox
        self._body: Any = None
        self._sender: asyncio.Task[None] | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._output: asyncio.Future[None] | None = None
        self._ended = False
        self._gone = False
        self._failure: BaseException | None = None
        self._context = copy_context()

    async def serve(
        self,
        application: Callable[..., Any],
        build_environ: Callable[[Any, Any], dict[str, Any]],
        start_response: Callable[..., Any],
        threads: Threads,
        mailbox: Mailbox,
    ) -> None:
        """Serve the request. Raises what the application raised, except where only the client is to blame."""
        options = self._options
        try:
            length = content_length_of(self._scope.get("headers") or ())
            if options.stream:
                check_announced(length, options.max_body_size)
                body = self._body = self._streamed_body(length, threads, mailbox)
            else:
                body = await collect_body(
                    self._receive, length, options.max_body_size, options.client_timeout
                )
        except ClientDisconnected:
            return
        except RequestRefused as refused:
            await refuse(self._send, refused)
            return
        outbox = self._outbox = Outbox(
            mailbox, options.send_window, self._on_output, may_spill=threads.are_borrowed
        )
        response = self._response
        response.connect(outbox, self._scope, merge=options.merge, fill_length=options.fill_content_length)
        if threads.are_borrowed:
            response.wait_for_room = outbox.wait_a_little
        else:
            make_gate = threads.gates(asyncio.get_running_loop())
            response.wait_for_room = lambda: outbox.wait_for_room(make_gate)
        run = ApplicationRun(
            application, lambda: self._environ(build_environ, body), start_response, response, outbox, body
        )
        run.scope = self._scope
        try:
            await threads.perform(run, outbox, mailbox)
            self._ended = True
            if self._sender is None:
                items = outbox.take()
                if items:
                    await self._send_items(items, self._send)
            else:
                await self._end_sending(self._sender)
        except BaseException as exc:
            self._abort()
            run.orphan()
            if isinstance(exc, GeneratorExit):
                self._sender = self._receiver = None  # the loop is gone: nothing can be awaited any more
            raise
        finally:
            if not run.started:
                body.close()
            response.disconnect()
            outbox.disconnect()
            self._body = None
            if self._watch_timer is not None:
                self._watch_timer.cancel()
            if self._sender is not None or self._receiver is not None:
                await self._end_tasks()
        self._raise_failure(run)

    def _environ(self, build_environ: Callable[[Any, Any], dict[str, Any]], body: Any) -> dict[str, Any]:
        environ = build_environ(self._scope, body)
        environ.setdefault("wsgi.file_wrapper", FileWrapper)
        extensions = self._scope.get("extensions")
        if extensions:
            if "http.response.early_hint" in extensions:
                environ.setdefault("wsgi.early_hints", self._response.send_early_hints)
            if "http.response.trailers" in extensions:
                environ.setdefault("asgi.send_trailers", self._response.send_trailers)
        return environ

    # Receiving.

    def _streamed_body(self, length: int | None, threads: Threads, mailbox: Mailbox) -> StreamedBody:
        return StreamedBody(
            mailbox,
            threads.gates(asyncio.get_running_loop()),
            self._on_wanted,
            self._options.receive_window,
            length,
            self._options.max_body_size,
        )

    def _on_wanted(self) -> None:
        """The application waits for its request body (called on the loop)."""
        if not self._ended and (self._receiver is None or self._receiver.done()):
            self._receiver = self._start(self._feed(self._body))

    async def _feed(self, body: StreamedBody) -> None:
        try:
            await self._receive_into(body)
        except ClientDisconnected:
            self._disconnected()
        except Exception as exc:
            self._fail(exc)
        else:
            if self._sender is not None and body.is_complete():
                await self._watch()

    async def _receive_into(self, body: StreamedBody) -> None:
        patience = self._options.client_timeout
        clock: StallClock | None = None
        receive = self._receive
        if patience is not None:
            clock = StallClock(asyncio.get_running_loop(), patience, self._on_stalled_upload)
            receive = clock.timed_receive(receive)
        try:
            while body.may_receive():
                block, more = request_part(await receive())
                body.feed(block, more)
        finally:
            if clock is not None:
                clock.stop()

    def _on_stalled_upload(self) -> None:
        """The client sends nothing more of its body (called on the loop)."""
        self._body.fail(RequestBodyError(408, too_slow(self._options.client_timeout or 0)))
        if self._receiver is not None:
            self._receiver.cancel()

    async def _watch(self) -> None:
        """Wait for the client to go."""
        try:
            message = await self._receive()
        except OSError:
            self._disconnected()
        except Exception:
            # Whatever it means, it is no answer to the question whether the client is there.
            log.debug("receive() failed while a response was being sent", exc_info=True)
        else:
            if message["type"] == "http.disconnect":
                self._disconnected()

    # Sending.

    def _on_output(self) -> None:
        """There is something in the outbox, and more to come (called on the loop)."""
        if self._output is not None:
            if not self._output.done():
                self._output.set_result(None)
        elif self._sender is None and not self._ended and not self._gone:
            self._sender = self._start(self._send_along())
            if not self._outbox.ending:
                loop = asyncio.get_running_loop()
                self._watch_timer = loop.call_later(WATCH_AFTER, self._start_watching)

    def _start_watching(self) -> None:
        if not self._ended and (self._receiver is None or self._receiver.done()):
            streamed = isinstance(self._body, StreamedBody) and not self._body.is_complete()
            self._receiver = self._start(self._feed(self._body) if streamed else self._watch())

    async def _send_along(self) -> None:
        """Send what comes until the application has come to its end."""
        loop = asyncio.get_running_loop()
        patience = self._options.client_timeout
        clock = None if patience is None else StallClock(loop, patience, self._disconnected)
        send = self._send if clock is None else clock.timed(self._send)
        try:
            while True:
                items = self._outbox.take()
                if items:
                    await self._send_items(items, send)
                elif self._ended:
                    return
                else:
                    self._output = loop.create_future()
                    await self._output
                    self._output = None
        finally:
            if clock is not None:
                clock.stop()

    async def _end_sending(self, sender: asyncio.Task[None]) -> None:
        if self._output is not None and not self._output.done():
            self._output.set_result(None)
        if not sender.done():
            await asyncio.wait((sender,))
        if not sender.cancelled():
            sender.result()

    async def _send_items(self, items: Any, send: Send) -> None:
        try:
            await (send_merged if self._options.merge else send_each)(items, send, self._outbox)
        except OSError:
            self._disconnected()  # ASGI 2.4: what send() raises once the client has gone
        except Exception as exc:
            self._fail(exc)

    # Ending.

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # The callbacks that start tasks run in the context of a thread; receive() and send() want the
        # request's.
        return asyncio.get_running_loop().create_task(coroutine, context=self._context)

    def _disconnected(self) -> None:
        self._gone = True
        self._abort()
        if self._sender is not None and self._sender is not asyncio.current_task():
            self._sender.cancel()

    def _fail(self, exc: BaseException) -> None:
        self._failure = self._failure or exc
        self._disconnected()

    def _abort(self) -> None:
        self._ended = True
        self._outbox.abort()
        if isinstance(self._body, StreamedBody):
            self._body.disconnect()

    async def _end_tasks(self) -> None:
        tasks = [task for task in (self._sender, self._receiver) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _raise_failure(self, run: ApplicationRun) -> None:
        error = run.take_error() or self._failure
        if error is None:
            return
        name_request(error, self._scope)
        try:
            raise error
        finally:
            del error, run  # the traceback holds this frame, which would hold the exception
            self._failure = None
