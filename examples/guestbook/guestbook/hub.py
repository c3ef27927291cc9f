"""Tells everybody who follows the book about new entries. Async code, on the event loop of the server."""

import asyncio
import logging
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from asgi_sync import sync_to_async
from guestbook.store import Entry, Store

log = logging.getLogger(__name__)


class Follower:
    """Iterates over the entries after one, those that are not written yet included, until it is closed."""

    def __init__(self, store: Store, seen: int) -> None:
        self._store = store
        self._seen = seen
        self._unread: deque[Entry] = deque()
        self._closed = False
        self._news = asyncio.Event()
        self._news.set()  # there may be entries already

    def wake(self) -> None:
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Entry:
        while not self._unread:
            await self._news.wait()
            if self._closed:
                raise StopAsyncIteration
            # Before the store is read: news that come meanwhile must wake us again.
            self._news.clear()
            self._unread.extend(await sync_to_async(self._store.after)(self._seen))
        entry = self._unread.popleft()
        self._seen = entry.id
        return entry


class Hub:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: set[Follower] = set()

    @contextmanager
    def follow(self, seen: int) -> Generator[Follower]:
        follower = Follower(self._store, seen)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def announce(self, entry: Entry) -> None:
        """Wake all followers.

        When a view calls this with `async_to_sync`, the view's thread waits here. Counting is sync code
        again, and needs that very thread: it runs there, while it waits.
        """
        total = await sync_to_async(self._store.count)()
        log.info("announce entry %d of %d to %d followers", entry.id, total, len(self._followers))
        for follower in self._followers:
            follower.wake()

    def close(self) -> None:
        """Close all followers, so that nobody waits for news from a server that shuts down."""
        for follower in self._followers:
            follower.close()
