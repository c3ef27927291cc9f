"""The familiar face of the engine: asgiref's ``WsgiToAsgi`` and the hooks of its instances."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from asgi_sync import async_to_sync, sync_to_async

from ._adapter import DEFAULT_RECEIVE_WINDOW, DEFAULT_SEND_WINDOW, Adapter, checked_application
from ._application_run import ApplicationRun
from ._environ import build_environ
from ._errors import ClientDisconnected, RequestRefused
from ._options import Options
from ._other_scopes import answer_other_scope, clear_scope_type
from ._refusal import refuse
from ._request_body import collect_body
from ._request_headers import content_length_of
from ._response import Response
from ._sink import DirectSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from wsgiref.types import WSGIApplication

    from ._response import ExcInfo
    from ._types import Message, Receive, Scope, Send


class WsgiToAsgi:
    """Wraps a WSGI application to make it an ASGI application, with the interface and the defaults of
    asgiref.

    The engine is that of `WSGIMiddleware`, whose documentation explains the options. The defaults differ: the
    application runs on the thread-sensitive thread (``thread_sensitive=True``), when its request body is
    there as a whole (``stream=False``); each block is sent as a message of its own and no header is added
    (``merge=False``, ``fill_content_length=False``); the server alone decides how long to wait for a client
    (``client_timeout=None``). Context variables that the application sets come back to the task of the
    request.

    Args:
        wsgi_application: The WSGI application (PEP 3333).
        duplicate_header_limit: More headers of one name, cookies apart, are answered with 400. None or 0: no
            limit.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or contradicts another one.

    Example:
        >>> def app(environ, start_response):
        ...     start_response("200 OK", [("Content-Type", "text/plain")])
        ...     return [b"Hello"]
        >>> application = WsgiToAsgi(app)
    """

    def __init__(
        self,
        wsgi_application: WSGIApplication,
        duplicate_header_limit: int | None = 100,
        *,
        thread_sensitive: bool = True,
        executor: Executor | None = None,
        workers: int | None = None,
        stream: bool = False,
        merge: bool = False,
        fill_content_length: bool = False,
        max_body_size: int | None = None,
        send_window: int = DEFAULT_SEND_WINDOW,
        receive_window: int = DEFAULT_RECEIVE_WINDOW,
        client_timeout: float | None = None,
        keep_underscore_headers: bool = False,
    ) -> None:
        self.wsgi_application: Any = checked_application(wsgi_application, duplicate_header_limit)
        self.duplicate_header_limit = duplicate_header_limit
        self._adapter = Adapter(
            Options(
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
            ),
            wsgi_application,
        )

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request; acknowledge a lifespan; refuse a websocket."""
        instance = WsgiToAsgiInstance(
            self.wsgi_application, self.duplicate_header_limit, adapter=self._adapter
        )
        await instance(scope, receive, send)


@cache
def _default_adapter() -> Adapter:
    # For its defaults only: nothing calls that application.
    return WsgiToAsgi(cast("Any", WsgiToAsgiInstance))._adapter


class WsgiToAsgiInstance:
    """One request to a WSGI application, made to be subclassed.

    Everything but ``__call__`` is called on the application's thread. A subclass that replaces
    ``run_wsgi_app`` gets the whole request body and sends each message with the blocking ``sync_send``.
    """

    scope: Scope
    # Sends a message and waits until it is sent. Set when a request comes whose run_wsgi_app is not our own.
    sync_send: Callable[[Any], object]

    def __init__(
        self,
        wsgi_application: WSGIApplication,
        duplicate_header_limit: int | None = 100,
        *,
        adapter: Adapter | None = None,
    ) -> None:
        self.wsgi_application = wsgi_application
        self.duplicate_header_limit = duplicate_header_limit
        self._adapter = adapter or _default_adapter()
        self._response = Response()

    @property
    def response_started(self) -> bool:
        """Whether the http.response.start message has been sent."""
        return self._response.started

    @response_started.setter
    def response_started(self, started: bool) -> None:
        self._response.started = started

    @property
    def response_content_length(self) -> int | None:
        """The Content-Length of the last call of ``start_response``, None if it had none."""
        return self._response.content_length

    @response_content_length.setter
    def response_content_length(self, length: int | None) -> None:
        self._response.content_length = length

    @property
    def response_start(self) -> Message:
        """The http.response.start message of the last ``start_response``; no attribute before that."""
        if self._response.message is None:
            raise AttributeError("response_start", name="response_start", obj=self)
        return self._response.message

    @response_start.setter
    def response_start(self, message: Message) -> None:
        self._response.message = message

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if clear_scope_type(scope) != "http":
            await answer_other_scope(scope, receive, send, self._adapter.threads.end_idle)
            return
        self.scope = scope
        if self._runs_as_we_do():
            await self._adapter.serve(
                scope,
                receive,
                send,
                self._response,
                self.wsgi_application,
                self.build_environ,
                self.start_response,
            )
        else:
            await self._serve_in_steps(receive, send)

    def _runs_as_we_do(self) -> bool:
        for cls in type(self).__mro__:
            if "run_wsgi_app" in cls.__dict__:
                return cls.__dict__["run_wsgi_app"] is _RUN_WSGI_APP and "run_wsgi_app" not in self.__dict__
        return False

    async def _serve_in_steps(self, receive: Receive, send: Send) -> None:
        options = self._adapter.options
        length = content_length_of(self.scope.get("headers") or ())
        try:
            body = await collect_body(receive, length, options.max_body_size, options.client_timeout)
        except ClientDisconnected:
            return
        except RequestRefused as refused:
            await refuse(send, refused)
            return
        self.sync_send = async_to_sync(send)
        try:
            await self.run_wsgi_app(body)
        finally:
            body.close()

    def build_environ(self, scope: Any, body: Any) -> dict[str, Any]:
        """Build the environ of a request. A ValueError is answered with 400."""
        return build_environ(
            scope,
            body,
            duplicate_header_limit=self.duplicate_header_limit,
            keep_underscore_headers=self._adapter.options.keep_underscore_headers,
        )

    def start_response(
        self, status: str, response_headers: Sequence[Any], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """WSGI's ``start_response``."""
        return self._response.start(status, response_headers, exc_info)

    @sync_to_async
    def run_wsgi_app(self, body: Any) -> None:
        """Run the application from its call to its ``close()``, sending with ``sync_send``."""
        sink = DirectSink(self.sync_send)
        self._response.connect(sink, self.scope, merge=False, fill_length=False)
        run = ApplicationRun(
            self.wsgi_application,
            lambda: self.build_environ(self.scope, body),
            self.start_response,
            self._response,
            sink,
            None,  # whoever called this closes the body
        )
        while not run.advance():
            pass  # nothing is ever queued
        error = run.take_error()
        if error is not None:
            raise error


_RUN_WSGI_APP = WsgiToAsgiInstance.__dict__["run_wsgi_app"]
