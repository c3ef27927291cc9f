"""The way from worker threads to an event loop: many callbacks, few wake-ups."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from asgi_sync.lowlevel import inbox_of

from ._errors import LoopGone

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Mailbox:
    """Runs callbacks on a loop, for threads. Those that come while a wake-up is under way share it.

    Waking a loop is a system call and a fight for the interpreter lock; under load most of them are spared.
    """

    __slots__ = ("__weakref__", "_inbox", "_loop", "is_watching")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weak, as mailboxes are kept by loop: a value must not keep its own key alive.
        self._loop = weakref.ref(loop)
        self._inbox = inbox_of(loop)
        # Whether a timer of the loop looks after the queue of the pool. Only the loop touches it.
        self.is_watching: bool = False

    def post(self, callback: Callable[[], object]) -> None:
        """Have the loop run ``callback`` soon. From any thread.

        Raises:
            LoopGone: the loop is closed.
        """
        loop = self._loop()
        if loop is None:
            raise LoopGone("the event loop of this request no longer exists")
        try:
            self._inbox.post(loop, callback)
        except RuntimeError as exc:
            raise LoopGone("the event loop of this request is closed") from exc

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it leads to this loop."""
        return self._loop() is loop

    def loop_is_closed(self) -> bool:
        """Whether nothing that is posted from now on will be run."""
        loop = self._loop()
        return loop is None or loop.is_closed()


class Mailboxes:
    """One mailbox for each loop, for as long as the loop lives."""

    __slots__ = ("_by_loop", "_last", "_lock")

    def __init__(self) -> None:
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = (
            weakref.WeakKeyDictionary()
        )
        self._last: Mailbox | None = None  # nearly always the one that is asked for
        self._lock = threading.Lock()

    def of(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Return the mailbox of ``loop``."""
        mailbox = self._last
        if mailbox is not None and mailbox.is_of(loop):
            return mailbox
        with self._lock:
            mailbox = self._by_loop.get(loop)
            if mailbox is None:
                mailbox = self._by_loop[loop] = Mailbox(loop)
            self._last = mailbox
            return mailbox
