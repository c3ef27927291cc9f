"""What the requests of one adapter share: its options, its threads, its ways back to event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._exchange import Exchange
from ._mailbox import Mailboxes
from ._options import DEFAULT_WORKERS, Options, check_header_limit
from ._threads import threads_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._response import Response
    from ._threads import Threads
    from ._types import Receive, Scope, Send

# Bytes. Most responses never wait for their client, and a hundred clients that do not read cost 100 MiB.
DEFAULT_SEND_WINDOW = 1 << 20
# Filled only by a client that is faster than the application.
DEFAULT_RECEIVE_WINDOW = 1 << 20


class Adapter:
    """Serves requests under one set of options. Built without a loop; used by any number of them."""

    def __init__(self, options: Options, application: Callable[..., Any]) -> None:
        self.options = options
        self.threads: Threads = threads_for(
            thread_sensitive=options.thread_sensitive,
            executor=options.executor,
            workers=options.workers or DEFAULT_WORKERS,
            application=application,
        )
        self._mailboxes = Mailboxes()

    def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        response: Response,
        application: Callable[..., Any],
        environ_builder: Callable[[Any, Any], dict[str, Any]],
        start_response: Callable[..., Any],
    ) -> Coroutine[Any, Any, None]:
        """Return what serves one HTTP request. To be called on the loop that it runs in."""
        mailbox = self._mailboxes.of(asyncio.get_running_loop())
        exchange = Exchange(scope, receive, send, self.options, response)
        return exchange.serve(application, environ_builder, start_response, self.threads, mailbox)


def checked_application(application: Any, duplicate_header_limit: object) -> Any:
    """Return the application if it can be one; refuse a header limit that is none."""
    if not callable(application):
        raise TypeError(f"a WSGI application is a callable, which {application!r} is not")
    check_header_limit(duplicate_header_limit)
    return application
