"""A Starlette application for WSGI servers."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from asgi_wsgi import AsgiToWsgi


def note(text: str) -> None:
    with Path(os.environ["MARK"]).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {text}\n")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    note("startup")
    yield {"answer": 42}
    note("shutdown")


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.state.answer), background=BackgroundTask(note, "background"))


async def upload(request: Request) -> PlainTextResponse:
    length = 0
    async for data in request.stream():
        length += len(data)
    return PlainTextResponse(str(length))


async def download(request: Request) -> StreamingResponse:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65536

    return StreamingResponse(blocks())


async def error(request: Request) -> PlainTextResponse:
    raise LookupError("mine")


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


class Nothing:
    """Answers nothing."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


routes = [
    Route("/hello", hello),
    Route("/upload", upload, methods=["POST"]),
    Route("/download", download),
    Route("/error", error),
    Route("/nothing", Nothing()),
]
application = AsgiToWsgi(Starlette(routes=routes, lifespan=lifespan))
