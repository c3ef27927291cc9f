"""New entries as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import asyncio
import json
import logging
from dataclasses import asdict
from urllib.parse import parse_qs

from asgi_server.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope
from guestbook.hub import Follower, Hub
from guestbook.store import Entry

log = logging.getLogger(__name__)


def as_event(entry: Entry) -> bytes:
    return f"id: {entry.id}\ndata: {json.dumps(asdict(entry))}\n\n".encode()


def last_seen(scope: HTTPScope) -> int:
    """After which entry the browser wants to go on: a header when it comes back, else part of the address."""
    header = dict(scope["headers"]).get(b"last-event-id")
    value = header or parse_qs(scope["query_string"]).get(b"after", [b"0"])[0]
    return int(value) if value.isdigit() else 0


class Stream:
    """An ASGI application: each request gets a stream, which ends with the server or the browser."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        log.info("open a stream")
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
        # A comment: the browser learns that the stream is open, also when there is nothing to tell.
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        with self._hub.follow(last_seen(scope)) as entries:
            watch = asyncio.create_task(close_with_browser(receive, entries))
            try:
                async for entry in entries:
                    log.info("stream entry %d", entry.id)
                    await send({"type": "http.response.body", "body": as_event(entry), "more_body": True})
            finally:
                watch.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def close_with_browser(receive: ASGIReceiveCallable, entries: Follower) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    log.info("the browser has left")
    entries.close()
