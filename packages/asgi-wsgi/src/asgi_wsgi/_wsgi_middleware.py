"""The face of the engine for new users: an ASGI application with the defaults of today."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ._adapter import DEFAULT_WINDOW, Adapter, checked_application
from ._options import Options
from ._other_scopes import answer_other_scope, clear_scope_type
from ._response import Response

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ._types import Receive, Send


class WSGIMiddleware:
    """Wraps a WSGI application to make it an ASGI application."""

    def __init__(
        self,
        app: Any,
        *,
        workers: int | None = None,
        executor: Executor | None = None,
        thread_sensitive: bool = False,
        stream: bool = True,
        merge: bool = True,
        fill_content_length: bool = True,
        max_body_size: int | None = None,
        send_window: int = DEFAULT_WINDOW,
        receive_window: int = DEFAULT_WINDOW,
        client_timeout: float | None = 120.0,
        duplicate_header_limit: int | None = 100,
        keep_underscore_headers: bool = False,
    ) -> None:
        self.app = checked_application(app, duplicate_header_limit)
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
        self._adapter = Adapter(options)
        self._environ = partial(self._adapter.environ, duplicate_header_limit=duplicate_header_limit)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request; acknowledge a lifespan; refuse a websocket."""
        if clear_scope_type(scope) != "http":
            await answer_other_scope(scope, receive, send, self._adapter.threads.end_idle)
            return
        response = Response()
        await self._adapter.serve(scope, receive, send, response, self.app, self._environ, response.start)
