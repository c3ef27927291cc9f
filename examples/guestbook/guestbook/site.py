"""The whole site: one ASGI application."""

import asyncio
import logging
import os

from asgi_server.typing import ASGIReceiveCallable, ASGISendCallable, LifespanScope, Scope
from asgi_sync import RecordingMiddleware, sync_to_async
from asgi_wsgi import WsgiToAsgi
from guestbook.bot import Bot
from guestbook.crossings import Camera
from guestbook.hub import Hub
from guestbook.pages import make_pages
from guestbook.request import RequestIds, Trail
from guestbook.store import Store
from guestbook.stream import Stream

log = logging.getLogger(__name__)


class Site:
    """Streams go to async code, everything else to Flask; the bot lives as long as the site."""

    def __init__(self, database: str, trail: Trail) -> None:
        self._store = Store(database)
        self._hub = Hub(self._store)
        self._stream = Stream(self._hub)
        camera = Camera(self)
        self._pages = WsgiToAsgi(make_pages(self._store, self._hub, trail, camera))
        # For whoever knows the token, a request can be timed from outside; without one, nobody does.
        token = os.environ.get("GUESTBOOK_TOKEN") or None
        self.application = RecordingMiddleware(RequestIds(camera), token=token)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/stream":
            await self._stream(scope, receive, send)
        elif scope["type"] == "http":
            await self._pages(scope, receive, send)
        else:
            raise ValueError(f"the guestbook speaks HTTP, not {scope['type']}")

    def close_streams(self) -> None:
        self._hub.close()

    async def _live(self, scope: LifespanScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await receive()  # lifespan.startup
        log.info("start the bot")
        bot = Bot(self._store, self._hub)
        bot_task = asyncio.create_task(bot.arun())
        await bot.listening.wait()
        await send({"type": "lifespan.startup.complete"})

        await receive()  # lifespan.shutdown
        self.close_streams()  # which ends the bot, too
        await bot_task
        await sync_to_async(self._store.close)()
        await send({"type": "lifespan.shutdown.complete"})
