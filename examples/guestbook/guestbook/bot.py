"""The host, who answers. A `StatelessServer` hosts ASGI applications for things that are not connections.

Here the thing is an author. Who writes gets an application instance, and is remembered as long as it lives.
"""

import asyncio
import itertools
import logging
from typing import Any

from asgi_server.server import StatelessServer
from asgi_sync import sync_to_async
from guestbook.hub import Hub
from guestbook.request import current
from guestbook.store import HOST, Store

log = logging.getLogger(__name__)


async def greeter(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application for one author: it gets their entries, and sends replies."""
    author = scope["author"]
    current.id = f"bot:{author}"
    for number in itertools.count(1):
        message = await receive()
        log.info("answer entry %d", message["id"])
        if number == 1:
            text = f"Welcome, {author}! Make yourself at home."
        else:
            text = f"Good to hear from you again, {author}: that makes {number} entries."
        await send({"type": "guestbook.reply", "text": text})


class Bot(StatelessServer):
    def __init__(self, store: Store, hub: Hub, max_authors: int = 1000) -> None:
        super().__init__(greeter, max_applications=max_authors)
        self._store = store
        self._hub = hub
        self.listening = asyncio.Event()

    async def handle(self) -> None:
        """Hand each new entry to its author's application, until the hub is closed."""
        current.id = "bot"
        newest = await sync_to_async(self._store.newest)()
        with self._hub.follow(newest) as entries:
            self.listening.set()
            async for entry in entries:
                if entry.author != HOST:
                    log.info("hand entry %d to its author's application", entry.id)
                    scope = {"type": "guestbook.author", "author": entry.author}
                    inbox = self.get_or_create_application_instance(entry.author, scope)
                    await inbox.put({"type": "guestbook.entry", "id": entry.id, "text": entry.text})

    async def application_send(self, scope: Any, message: Any) -> None:
        """Write what an application sends into the book, like any other entry."""
        entry = await sync_to_async(self._store.add)(HOST, message["text"])
        await self._hub.announce(entry)
