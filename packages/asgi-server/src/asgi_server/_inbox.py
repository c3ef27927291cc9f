"""The queue of one scope: what a server puts messages into and an application instance receives from."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._instance import Instance

Outcome = Literal["handled", "failed", "cancelled", "dropped"]


class Tracked:
    """A message whose sender wants to hear what became of it, or the last event of an instance."""

    __slots__ = ("final", "message", "on_settled")

    def __init__(
        self, message: Any, on_settled: Callable[[Outcome], None] | None, *, final: bool = False
    ) -> None:
        self.message = message
        self.on_settled = on_settled
        self.final = final


class Inbox:
    """What ``get_or_create_application_instance`` returns: the putting half of :class:`asyncio.Queue`.

    It is used on the server's event loop. A message put after the instance has ended is not lost: it starts a
    new instance of the same scope, or joins the queue of one that is already there. For thread-safe use there
    is ``StatelessServer.submit``.

    It is not an asyncio.Queue because four deques and an Event for each scope (3 KiB) would be most of what
    an idle scope costs.
    """

    __slots__ = ("_getters", "_items", "_maxsize", "_putters", "owner")

    def __init__(self, owner: Instance, maxsize: int, items: Iterable[Any] = ()) -> None:
        self.owner: Instance = owner
        self._maxsize = maxsize
        self._items: deque[Any] = deque(items)
        self._getters: list[asyncio.Future[None]] = []
        self._putters: list[asyncio.Future[None]] = []

    @property
    def maxsize(self) -> int:
        """How many messages may wait; 0 means that there is no limit."""
        return self._maxsize

    def qsize(self) -> int:
        """How many messages wait."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._items

    def full(self) -> bool:
        """Whether a put has to wait."""
        return 0 < self._maxsize <= len(self._items)

    def put_nowait(self, message: Any) -> None:
        """Add *message*. Raises :class:`asyncio.QueueFull` if ``maxsize`` messages wait already."""
        owner = self.owner
        if not (self._maxsize or owner.closed or owner.task.done()):
            # The usual case, without three calls and a second look.
            self._items.append(message)
            if self._getters:
                self._wake_one(self._getters)
            return
        inbox = self.current()
        if inbox.full():
            raise asyncio.QueueFull(f"{inbox._maxsize} messages wait for scope {inbox.owner.scope_id!r}")
        inbox.deliver(message)

    async def put(self, message: Any) -> None:
        """Add *message*; while ``maxsize`` messages wait, wait for the application to make room."""
        inbox = await self.with_room()
        inbox.deliver(message)

    async def with_room(self) -> Inbox:
        """Wait until a message can be put; returns the inbox that it belongs into by then."""
        inbox = self.current()
        while inbox.full():
            waiter = asyncio.get_running_loop().create_future()
            inbox._putters.append(waiter)
            try:
                await waiter
            except BaseException:
                inbox._abandon(inbox._putters, waiter, pass_on=not inbox.full())
                raise
            inbox = inbox.current()
        return inbox

    def current(self) -> Inbox:
        """This inbox, or the one of the instance that took over the scope."""
        owner = self.owner
        if owner.closed or owner.task.done():
            return owner.pool.current_inbox(owner)
        return self

    def deliver(self, item: Any) -> None:
        """Add *item* without a look at ``maxsize``; if the instance has ended, give it to the next one."""
        owner = self.owner
        if owner.closed or owner.task.done():
            owner.pool.redeliver(owner, item)
            return
        self._items.append(item)
        if self._getters:
            self._wake_one(self._getters)

    def deliver_first(self, items: Iterable[Any]) -> None:
        """Put what an earlier instance of the scope left behind before everything that waits here."""
        self._items.extendleft(reversed(list(items)))
        if self._items and self._getters:
            self._wake_one(self._getters)

    def wake_putter(self) -> None:
        """Let the next waiting put go on: an item was taken out."""
        self._wake_one(self._putters)

    def take_all(self) -> list[Any]:
        """Take everything out, and let every waiting put look again where its message belongs."""
        items = list(self._items)
        self._items.clear()
        while self._putters:
            self._wake_one(self._putters)
        return items

    def waiter_for_item(self) -> asyncio.Future[None]:
        """A future that is done when an item may be there."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(waiter)
        return waiter

    def abandon(self, waiter: asyncio.Future[None]) -> None:
        """Nobody waits any more for this future of :meth:`waiter_for_item`."""
        self._abandon(self._getters, waiter, pass_on=bool(self._items))

    def _abandon(
        self, waiters: list[asyncio.Future[None]], waiter: asyncio.Future[None], *, pass_on: bool
    ) -> None:
        # A waiter that was woken and cancelled in the same turn of the loop owes its turn to the next one.
        if waiter in waiters:
            waiters.remove(waiter)
        elif pass_on:
            self._wake_one(waiters)

    @staticmethod
    def _wake_one(waiters: list[asyncio.Future[None]]) -> None:
        while waiters:
            waiter = waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def __repr__(self) -> str:
        return f"<Inbox of scope {self.owner.scope_id!r}: {len(self._items)} waiting>"
