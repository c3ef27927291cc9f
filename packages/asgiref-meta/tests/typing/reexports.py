"""The types of asgi-* reach those who import from asgiref. Checked by mypy and pyright, never run."""

from collections.abc import Callable
from typing import Any, assert_type

import asgiref
from asgiref.local import Local
from asgiref.server import StatelessServer
from asgiref.sync import AsyncToSync, SyncToAsync, async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from asgiref.timeout import timeout
from asgiref.typing import ASGI3Application, HTTPScope
from asgiref.wsgi import WsgiToAsgi


def measure(text: str, *, times: int = 1) -> int:
    return len(text) * times


async def fetch(name: str) -> bytes:
    return name.encode()


assert_type(asgiref.__version__, str)

assert_type(async_to_sync(fetch)("name"), bytes)
assert_type(async_to_sync(force_new_loop=True)(fetch)("name"), bytes)
assert_type(AsyncToSync(fetch)("name"), bytes)
async_to_sync(fetch)()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # a name is wanted


async def bridged() -> None:
    assert_type(await sync_to_async(measure)("text"), int)
    assert_type(await sync_to_async(thread_sensitive=False)(measure)("text", times=2), int)
    assert_type(await SyncToAsync(measure)("text"), int)
    # A str is wanted:
    await sync_to_async(measure)(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def main(application: ASGI3Application, scope: HTTPScope, wsgi_application: Callable[..., Any]) -> None:
    async with timeout(1) as limit:
        assert_type(limit, timeout)
        assert_type(limit.remaining, float | None)
        assert_type(limit.expired, bool)
    ApplicationCommunicator(application, scope)
    assert_type(StatelessServer(application).max_applications, int)
    WsgiToAsgi(wsgi_application)
    assert_type(Local().anything, Any)
