"""A hand-written ASGI server for tests, which control every ``receive()`` and ``send()``."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Longer than anything here takes on a busy machine; only a hang ever waits for it.
PATIENCE = 60

# With STRESS in the environment large counts and sizes are what is promised; else they only show the same.
STRESS = bool(os.environ.get("STRESS"))


def http_scope(**changes: Any) -> dict[str, Any]:
    """A complete HTTP scope, with changes; a change to ``...`` removes the key."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("192.0.2.1", 50000),
        "server": ("192.0.2.2", 8000),
        "state": {},
        "extensions": {},
    }
    if "path" in changes and "raw_path" not in changes:
        changes["raw_path"] = ...
    for key, value in changes.items():
        if value is ...:
            scope.pop(key, None)
        else:
            scope[key] = value
    return scope


class Client:
    """One request. By default a client that sends its body at once, reads everything and stays connected."""

    def __init__(self, app: Any, scope: Any = None, body: bytes | list[bytes] = b"") -> None:
        self.app = app
        self.scope = http_scope() if scope is None else scope
        self.messages: list[Any] = []
        self.received = 0  # how often receive() was called
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.reading = asyncio.Event()  # cleared: send() stalls
        self.reading.set()
        self.sending = asyncio.Event()  # set once send() has been entered
        self.send_error: BaseException | None = None
        self.after_send: Any = None
        self.stalled = 0
        if body is not None:
            self.upload(*([body] if isinstance(body, bytes) else body))

    def upload(self, *parts: bytes, more: bool = False) -> None:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1 and not more
            self.inbox.put_nowait({"type": "http.request", "body": part, "more_body": not last})

    def disconnect(self) -> None:
        self.inbox.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Any:
        self.received += 1
        return await self.inbox.get()

    async def send(self, message: Any) -> None:
        self.sending.set()
        if not self.reading.is_set():
            self.stalled += 1
            await self.reading.wait()
        if self.send_error is not None:
            raise self.send_error
        self.messages.append(message)
        if self.after_send is not None:
            self.after_send(message)

    async def run(self) -> Client:
        async with asyncio.timeout(PATIENCE):
            await self.app(self.scope, self.receive, self.send)
        return self

    def start(self) -> asyncio.Task[Client]:
        return asyncio.ensure_future(self.run())  # type: ignore[return-value]  # a coroutine gives a task

    @property
    def start_message(self) -> Any:
        starts = [message for message in self.messages if message["type"] == "http.response.start"]
        assert len(starts) == 1, self.messages
        return starts[0]

    @property
    def status(self) -> int:
        return self.start_message["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.start_message["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body")

    @property
    def complete(self) -> bool:
        """Whether the response was ended properly: exactly one final message, and nothing after it."""
        finals = [
            index
            for index, m in enumerate(self.messages)
            if m["type"] == "http.response.body" and not m.get("more_body", False)
        ]
        return len(finals) == 1 and finals[0] == len(self.messages) - 1


async def ask(app: Any, scope: Any = None, body: bytes | list[bytes] = b"") -> Client:
    """Make one request and return its client when the application has come back."""
    return await Client(app, scope, body).run()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait on a loop until the condition holds, for what a thread does in its own time."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def eventually_without_loop(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, for what a thread does in its own time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "what should have happened did not happen"
        time.sleep(0.001)


class Signal(threading.Event):
    """An event between threads and a loop, whose every wait has an end."""

    def wait(self, timeout: float | None = PATIENCE) -> bool:
        if not super().wait(timeout):
            raise AssertionError("what should have happened did not happen")
        return True

    async def seen(self) -> None:
        """Wait on a loop, without blocking it."""
        await eventually(self.is_set)


class Recorder:
    """The iterable of a response, which notes on which threads it was used and how often it was closed."""

    def __init__(self, blocks: Any, on_close: Any = None) -> None:
        self.blocks = iter(blocks)
        self.threads: set[int] = {threading.get_ident()}
        self.closed = 0
        self.was_closed = Signal()
        self.on_close = on_close

    def __iter__(self) -> Recorder:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        return next(self.blocks)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1
        self.was_closed.set()
        if self.on_close is not None:
            self.on_close()


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
