"""A server whose stream of messages is the test itself."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager

import pytest

from asgi_server.server import Observer, StatelessServer


def pytest_configure():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's job in the background: the programs that are started here would ignore Ctrl-C as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Hub(StatelessServer):
    """handle() does nothing until the test ends it; what applications send and raise is kept."""

    def __init__(self, application, *args, **kwargs):
        super().__init__(application, *args, **kwargs)
        self.handling = asyncio.Event()
        self.finish = asyncio.Event()
        self.sent = []
        self.errors = []

    async def handle(self):
        self.handling.set()
        await self.finish.wait()

    async def application_send(self, scope, message):
        self.sent.append(message)

    async def application_exception(self, exception, application_details):
        self.errors.append((exception, application_details))

    def put(self, scope_id, message, scope=None):
        queue = self.get_or_create_application_instance(
            scope_id, {"id": scope_id} if scope is None else scope
        )
        queue.put_nowait(message)
        return queue

    @asynccontextmanager
    async def running(self):
        """arun() in a task; at the end handle() returns and arun() is awaited."""
        task = asyncio.create_task(self.arun())
        await asyncio.wait({asyncio.create_task(self.handling.wait()), task}, return_when="FIRST_COMPLETED")
        try:
            yield task
        finally:
            self.finish.set()
            await task


class Events(Observer):
    """Keeps everything that a server tells its observer."""

    def __init__(self):
        self.all = []

    def of(self, kind):
        return [details for name, *details in self.all if name == kind]

    def instance_started(self, *details):
        self.all.append(("started", *details))

    def instance_ended(self, scope_id, reason, seconds):
        assert seconds >= 0
        self.all.append(("ended", scope_id, reason))

    def instance_stuck(self, *details):
        self.all.append(("stuck", *details))

    def message_dropped(self, scope_id, scope, message, reason):
        self.all.append(("dropped", scope_id, message, reason))

    def handler_restarting(self, *details):
        self.all.append(("restarting", *details))


async def until(condition, seconds=10):
    """Turn the loop until *condition()* is true; an error after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(0.001)


async def turn(times=10):
    """Give everybody who can run the opportunity."""
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture(name="Hub")
def hub_class():
    return Hub


@pytest.fixture
def events():
    return Events()


@pytest.fixture(name="until")
def until_function():
    return until


@pytest.fixture(name="turn")
def turn_function():
    return turn
