"""The other direction: an ASGI application under a WSGI server."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ._asgi_call import AsgiCall
from ._loop_thread import LoopThread
from ._options import check_timeout, whole_number
from ._response_start import HOP_BY_HOP
from ._wsgi_scope import scope_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from ._loop_thread import Lifespan
    from ._types import ASGIApplication

DEFAULT_WINDOW = 1 << 18  # bytes


class AsgiToWsgi:
    """Wraps an ASGI application to make it a WSGI application, for servers such as mod_wsgi and gunicorn's
    sync worker.

    The application runs in one event loop, in a thread of its own that starts with the first request of each
    process; a forked worker has its own. Its lifespan is started before that request, and shut down by
    `close`, which is called when the process exits. Request and response bodies are streamed, with
    backpressure. The task of a request never outlives it: it is cancelled when the server closes an
    incomplete response, and waited for when work is left to do after a complete one.

    What the application raises is raised to the server, as is a RuntimeError for one that answers nothing or
    twice. WebSockets are refused with 501.

    Args:
        asgi_application: The ASGI 3 application.
        lifespan: "auto" runs the lifespan protocol if the application supports it, "on" insists, "off" does
            not.
        send_window: Bytes that the application may be ahead of the client, 262144 by default.
        shutdown_timeout: Seconds that requests, and then the lifespan, have to end at `close`.
        loop_factory: Makes the event loop, ``uvloop.new_event_loop`` for one; asyncio's default if None.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range.

    Example:
        >>> async def app(scope, receive, send):
        ...     if scope["type"] == "http":
        ...         await send({"type": "http.response.start", "status": 200, "headers": []})
        ...         await send({"type": "http.response.body", "body": b"Hello"})
        >>> with AsgiToWsgi(app) as application:
        ...     environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
        ...     b"".join(application(environ, lambda status, headers, exc_info=None: print(status)))
        200 OK
        b'Hello'
    """

    def __init__(
        self,
        asgi_application: ASGIApplication,
        *,
        lifespan: Lifespan = "auto",
        send_window: int = DEFAULT_WINDOW,
        shutdown_timeout: float = 10.0,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        if not callable(asgi_application):
            raise TypeError(f"an ASGI application is a callable, which {asgi_application!r} is not")
        if lifespan not in ("auto", "on", "off"):
            raise ValueError(f"lifespan must be 'auto', 'on' or 'off', not {lifespan!r}")
        whole_number("send_window (bytes)", send_window, 1)
        if shutdown_timeout is None:  # pyright: ignore[reportUnnecessaryComparison] -- for untyped callers
            raise TypeError("shutdown_timeout must be a number of seconds, not None")
        check_timeout("shutdown_timeout", shutdown_timeout)
        if loop_factory is not None and not callable(loop_factory):
            raise TypeError(f"loop_factory must be a callable that makes a loop, not {loop_factory!r}")
        self.asgi_application = asgi_application
        self._lifespan: Lifespan = lifespan
        self._window = send_window
        self._timeout = shutdown_timeout
        self._loop_factory = loop_factory
        self._lock = threading.Lock()
        self._host: LoopThread | None = None
        if hasattr(os, "register_at_fork"):
            # A lock that is held at the moment of a fork stays locked in the child.
            own = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _start_afresh(own()))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> AsgiResponse:
        """Serve one request, from the server's thread."""
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            return AsgiResponse(None, False, start_response)
        host = self._running_host()
        call = AsgiCall(self.asgi_application, scope_of(environ, host.state), host, self._window)
        return AsgiResponse(call, environ["REQUEST_METHOD"] == "HEAD", start_response)

    def _running_host(self) -> LoopThread:
        host = self._host
        if host is not None and host.is_alive():
            return host
        with self._lock:
            if self._host is None or not self._host.is_alive():
                host = LoopThread(self.asgi_application, self._lifespan, self._timeout, self._loop_factory)
                host.start()
                self._host = host
                atexit.register(host.stop)
            return self._host

    def close(self) -> None:
        """Cancel running requests, shut the application down and end its loop.

        A later request starts it again.
        """
        with self._lock:
            host, self._host = self._host, None
        if host is not None:
            atexit.unregister(host.stop)
            host.stop()

    def __enter__(self) -> AsgiToWsgi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _start_afresh(adapter: AsgiToWsgi | None) -> None:
    if adapter is not None:
        adapter._lock = threading.Lock()
        adapter._host = None


class AsgiResponse:
    """The iterable that the WSGI server gets. Its ``close()`` ends the request."""

    def __init__(self, call: AsgiCall | None, head: bool, start_response: Callable[..., Any]) -> None:
        self._call = call
        self._head = head
        self._done = False
        self._refusal = b"WebSockets are not supported here" if call is None else None
        try:
            if call is None:
                start_response("501 Not Implemented", [("Content-Type", "text/plain")])
            else:
                start = call.next_message()
                start_response(_status_line(start["status"]), _header_list(start.get("headers") or ()))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> AsgiResponse:
        return self

    def __next__(self) -> bytes:
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            return refusal
        while not self._done and self._call is not None:
            message = self._call.next_message()
            if message is None:
                break
            self._done = not message.get("more_body", False)
            body: bytes = message.get("body", b"")
            if body and not self._head:
                return body
        raise StopIteration

    def close(self) -> None:
        """End the request: wait for an application that has answered, cancel one that has not."""
        call, self._call = self._call, None
        if call is not None:
            call.end()


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _header_list(headers: Any) -> list[tuple[str, str]]:
    pairs = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
    return [(name, value) for name, value in pairs if name.lower() not in HOP_BY_HOP]
