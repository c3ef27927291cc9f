"""WSGI applications under ASGI, in process: through each adapter, one request at a time and 32.

uvicorn's and Starlette's adapters, marked with a star, have no backpressure: they keep in memory what the
application yields, however slow the client is. hypercorn's collects the request body as asgiref's does, and
waits for each block.

With CPU_TIME=1 in the environment the processor time of all threads is measured instead of the time that
passes: use that on a machine that is busy with other things, pinned, and leave "10 ms of blocking" out of
account, which costs no processor time.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from harness import Bench, Subject, coroutine, load_peer

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MODES = "both"

clock = time.process_time if os.environ.get("CPU_TIME") else time.perf_counter

BLOCK = b"x" * 65536
HEADERS = [
    (b"host", b"example.org"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=0123456789abcdef"),
]
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"a=b",
    "root_path": "",
    "headers": HEADERS,
    "client": ("192.0.2.1", 50000),
    "server": ("192.0.2.2", 8000),
}


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def megabyte(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(16):
        yield BLOCK


def small_blocks(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(200):
        yield b"twelve bytes"


def upload(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    length = 0
    while data := environ["wsgi.input"].read(65536):
        length += len(data)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % length]


def blocking(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(0.01)
    return hello(environ, start_response)


# title, application, blocks of the request body, bytes of the response body
CASES: list[tuple[str, Wsgi, int, int]] = [
    ("hello world", hello, 0, 5),
    ("1 MB down", megabyte, 0, 1 << 20),
    ("200 blocks of 12 bytes", small_blocks, 0, 2400),
    ("1 MB up", upload, 16, 7),
    ("10 ms of blocking", blocking, 0, 5),
]


async def request(application: Any, blocks: int, expected: int) -> None:
    """Make one request and check that its whole response came."""
    left = blocks
    received = 0
    over = asyncio.Event()

    async def receive() -> Any:
        nonlocal left
        if left < 0:
            await over.wait()
            return {"type": "http.disconnect"}
        left -= 1
        if left < 0:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": BLOCK, "more_body": True}

    async def send(message: Any) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    scope = SCOPE | {"headers": list(HEADERS)}
    if blocks:
        length = (b"content-length", b"%d" % (blocks * len(BLOCK)))
        scope |= {"method": "POST", "headers": [*HEADERS, length]}
    await application(scope, receive, send)
    over.set()
    assert received == expected, f"{received} bytes, not {expected}"


def under_hypercorn(app: Any) -> Any:
    """hypercorn's wrapper is given two functions by its worker: here they are those of its asyncio one."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()

        def call_soon(function: Any, *args: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(function(*args), loop).result()

        await app(scope, receive, send, partial(loop.run_in_executor, None), call_soon)

    return application


def subject(application: Any, concurrency: int, blocks: int, expected: int) -> Subject:
    async def measure(n: int) -> float:
        async def client() -> None:
            for _ in range(n):
                await request(application, blocks, expected)

        began = clock()
        await asyncio.gather(*(client() for _ in range(concurrency)))
        return clock() - began

    return coroutine(measure)


def run(bench: Bench) -> None:
    asgiref = load_peer("asgiref").wsgi.WsgiToAsgi
    asgire = load_peer("asgire").wsgi.WsgiToAsgi
    a2wsgi = load_peer("a2wsgi").WSGIMiddleware
    starlette = load_peer("starlette").middleware.wsgi.WSGIMiddleware
    uvicorn = load_peer("uvicorn").middleware.wsgi._WSGIMiddleware
    hypercorn = load_peer("hypercorn").app_wrappers.WSGIWrapper
    makers: dict[str, Callable[[Wsgi], Any]] = {
        "WSGIMiddleware": WSGIMiddleware,
        "WsgiToAsgi": WsgiToAsgi,
        "asgiref": asgiref,
        "asgire": asgire,
        "a2wsgi": partial(a2wsgi, workers=40),
        "starlette*": starlette,
        "uvicorn*": partial(uvicorn, workers=40),
        "hypercorn": lambda app: under_hypercorn(hypercorn(app, 1 << 30)),
    }
    for title, app, blocks, expected in CASES:
        for concurrency in (1, 32):
            subjects = {
                name: subject(make(app), concurrency, blocks, expected) for name, make in makers.items()
            }
            bench.compare(f"{title}, {concurrency} at a time", subjects)
