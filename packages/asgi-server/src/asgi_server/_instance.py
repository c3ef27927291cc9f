"""One application instance: its entry in ``application_instances`` and its application's channels."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from ._errors import InstanceClosedError
from ._inbox import Inbox, Tracked
from ._settling import settle

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ._inbox import Outcome
    from ._pool import Pool


logger = logging.getLogger("asgi_server.server")


class Instance(dict[str, Any]):
    """A dict with ``input_queue``, ``future``, ``scope`` and ``last_used`` (wall clock, for people to read).

    The attributes are the pool's own bookkeeping. ``last_used`` decides nothing, so that a step of the wall
    clock changes nothing; the order of use is the order of the pool's dict.
    """

    __slots__ = (
        "cancelled",
        "closed",
        "draining",
        "ended",
        "gate",
        "has_place",
        "has_received",
        "inbox",
        "leaves_place",
        "pool",
        "predecessor",
        "reason",
        "scope_id",
        "sending",
        "started_at",
        "stuck",
        "successor",
        "task",
        "told",
        "touched",
        "tracked",
        "working",
    )

    def __init__(self, pool: Pool, scope_id: Hashable, scope: Any, items: Iterable[Any]) -> None:
        self.pool: Pool = pool
        self.scope_id: Hashable = scope_id
        self.inbox: Inbox = Inbox(self, pool.options.queue_maxsize, items)
        self.task: asyncio.Future[Any] = pool.not_started
        self.gate: asyncio.Future[None] | None = None
        self.predecessor: Instance | None = None  # the instance of this scope that has to end first
        self.successor: Instance | None = None  # the instance of this scope that waits for this one's end
        self.has_place: bool = False  # is one of the max_applications that may run
        self.leaves_place: bool = False  # and will give it back
        self.sending: int = 0  # sends that have not returned
        self.working: bool = False  # has a message in hand: received it and has not asked for the next
        self.has_received: bool = False
        self.tracked: list[Tracked] = []  # those in hand that somebody wants to hear about
        self.draining: bool = False  # no longer listed; handles what it has, then is cancelled
        self.told: bool = False  # its final event is in its inbox or was received
        self.cancelled: bool = False  # this pool has cancelled it
        self.closed: bool = False  # takes no more messages
        self.ended: bool = False  # its task is done and the books are closed
        self.stuck: bool = False  # ignored its cancellation
        self.reason: str = ""  # why it had to leave
        self.started_at: float = time.monotonic()
        self.touched: float = self.started_at
        super().__init__(input_queue=self.inbox, future=self.task, scope=scope, last_used=time.time())

    @property
    def idle(self) -> bool:
        """No message waits and none is in hand."""
        return not self.working and self.inbox.empty()

    async def receive(self) -> Any:
        """The application's ``receive``: its next message. To ask says that the last one is handled."""
        if self.working:
            self.working = False
            if self.tracked:
                self.settle("handled")
        inbox = self.inbox
        items = inbox._items
        while not items or self.cancelled:
            if self.cancelled:
                await self._refuse()
            if self.draining:
                # Everything is handled: now it can go. The cancellation arrives at the wait below.
                self.pool.cancel(self)
            waiter = inbox.waiter_for_item()
            try:
                # No timeout: an idle application waits as long as it lives. Not in a coroutine of the inbox's,
                # which would take longer than all the rest of this.
                await waiter
            except BaseException:
                inbox.abandon(waiter)
                raise
        item = items.popleft()
        if inbox._putters:
            inbox.wake_putter()
        self.working = self.has_received = True
        if type(item) is not Tracked:
            return item
        if item.on_settled is not None:
            self.tracked.append(item)
        return item.message

    async def _refuse(self) -> None:
        # An application that swallows CancelledError comes back here, perhaps for ever. An ordinary error
        # ends most of those; the turn of the loop before it keeps the others from stopping everybody else.
        await asyncio.sleep(0)
        raise InstanceClosedError(f"the instance of scope {self.scope_id!r} was told to end: {self.reason}")

    async def send(self, message: Any) -> None:
        """The application's ``send``: *message* goes to the server. An instance that is sending is in use."""
        pool = self.pool
        self.sending += 1
        pool.roster.begin_sending(self)
        try:
            await pool.server.application_send(self["scope"], message)
        finally:
            self.sending -= 1
            if not self.sending:
                pool.roster.end_sending(self)

    def task_done(self, _task: asyncio.Future[Any]) -> None:
        """The done-callback of its task."""
        self.pool.finish(self)

    def tell_final_event(self) -> None:
        """Put the server's final event, if it has one for this scope, behind everything that waits."""
        final_event = self.pool.options.final_event
        if final_event is None or self.told:
            return
        try:
            event = final_event(self.scope_id, self["scope"])
        except Exception:
            logger.exception("final_event failed for scope %r", self.scope_id)
            return
        if event is not None:
            self.inbox.deliver(Tracked(event, None, final=True))
            self.told = self.closed = True

    def settle(self, outcome: Outcome) -> None:
        """Nothing is in hand any more; say so to those who want to hear it."""
        self.working = False
        if self.tracked:
            tracked, self.tracked = self.tracked, []
            for item in tracked:
                settle(item, outcome)
