"""The face of the engine for new users: an ASGI application with the defaults of today."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ._adapter import DEFAULT_RECEIVE_WINDOW, DEFAULT_SEND_WINDOW, Adapter, checked_application
from ._environ import build_environ
from ._options import Options
from ._other_scopes import answer_other_scope, clear_scope_type
from ._response import Response

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from wsgiref.types import WSGIApplication

    from ._types import Receive, Send


class WSGIMiddleware:
    """Wraps a WSGI application to make it an ASGI application.

    Each request runs on one thread of a pool, from the call of the application to the ``close()`` of what it
    returned. The request body is received while the application reads it. What it yields is sent at once, but
    never further ahead of the client than ``send_window`` bytes. When the client leaves, iteration stops,
    ``close()`` is called, and reading and ``write()`` raise `ClientDisconnected`. What the application raises
    goes on to the server, with a note that names the request; after the request it is logged by the logger
    ``asgi_wsgi``.

    One instance may be used by any number of event loops; making it starts no thread and needs no loop.

    Args:
        app: The WSGI application (PEP 3333).
        workers: How many requests may run at one time, 40 by default. A thread that waits for its client does
            not count; at most 1000 such threads are added, after which waiting threads count as well.
        executor: A `concurrent.futures.Executor` to run the application in, instead of the adapter's own
            threads.
        thread_sensitive: Whether to run the application on the thread-sensitive thread of asgi_sync, one
            request at a time. It is left whenever the window is full, so that a slow client stops nobody.
        stream: Whether the application runs while its request body still arrives. False: the body is received
            first, in memory up to 64 KiB and in a temporary file beyond that.
        merge: Whether blocks that are ready together are sent as one message of up to 64 KiB.
        fill_content_length: Whether to add a Content-Length to bodies that are returned as a list or tuple.
        max_body_size: Request bodies of more bytes are answered with 413. None: no limit.
        send_window: Bytes that the application may be ahead of its client, 1048576 by default.
        receive_window: Bytes of the request body that are received ahead of the application, 1048576 by
            default.
        client_timeout: Seconds after which a client that has stopped reading is given up, and one that has
            stopped sending its body is answered with 408; 120 by default. None: wait for as long as the
            server does.
        duplicate_header_limit: More headers of one name, cookies apart, are answered with 400. None or 0: no
            limit.
        keep_underscore_headers: Whether to hand on headers with an underscore in their name, which a client
            can use to forge those that have a dash there.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or contradicts another one.

    Example:
        >>> def app(environ, start_response):
        ...     start_response("200 OK", [("Content-Type", "text/plain")])
        ...     return [b"Hello"]
        >>> application = WSGIMiddleware(app, max_body_size=10_000_000)
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        workers: int | None = None,
        executor: Executor | None = None,
        thread_sensitive: bool = False,
        stream: bool = True,
        merge: bool = True,
        fill_content_length: bool = True,
        max_body_size: int | None = None,
        send_window: int = DEFAULT_SEND_WINDOW,
        receive_window: int = DEFAULT_RECEIVE_WINDOW,
        client_timeout: float | None = 120.0,
        duplicate_header_limit: int | None = 100,
        keep_underscore_headers: bool = False,
    ) -> None:
        self.app: Any = checked_application(app, duplicate_header_limit)
        options = Options(
            thread_sensitive=thread_sensitive,
            executor=executor,
            workers=workers,
            stream=stream,
            merge=merge,
            fill_content_length=fill_content_length,
            max_body_size=max_body_size,
            send_window=send_window,
            receive_window=receive_window,
            client_timeout=client_timeout,
            keep_underscore_headers=keep_underscore_headers,
        )
        self._adapter = Adapter(options, app)
        self._environ = partial(
            build_environ,
            duplicate_header_limit=duplicate_header_limit,
            keep_underscore_headers=keep_underscore_headers,
        )

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request; acknowledge a lifespan; refuse a websocket."""
        if clear_scope_type(scope) != "http":
            await answer_other_scope(scope, receive, send, self._adapter.threads.end_idle)
            return
        response = Response()
        await self._adapter.serve(scope, receive, send, response, self.app, self._environ, response.start)
