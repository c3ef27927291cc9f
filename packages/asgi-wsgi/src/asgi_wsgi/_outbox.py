"""What the application has produced and ``send()`` has not yet taken: a bounded window of bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from ._errors import ClientDisconnected, LoopGone
from ._spill import Spill
from ._waiting import LOOK_INTERVAL, ThreadGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._mailbox import Mailbox
    from ._types import Message
    from ._waiting import Gate, MakeGate

# What waits in an outbox: a whole ASGI message, a block of the response body, or the end of the response.
Item: TypeAlias = "Message | bytes | None"

# A shorter block counts for this many bytes of the window, so that a window of tiny blocks stays small as well.
MIN_BLOCK = 256

# Seconds for which ``write()`` waits for a client on a thread that is not the adapter's own.
MOMENT = 0.05


class Outbox:
    """A queue from one thread to one loop.

    The thread puts items in and goes on until the window is full; the loop takes all that is there,
    and tells the thread when half of the window is free again. The lock guards every attribute.
    """

    __slots__ = (
        "_announced", "_gate", "_hasty", "_items", "_lock", "_mailbox", "_may_spill", "_on_output",
        "_paused", "_queued", "_room", "_spill", "_wanted", "_window", "aborted", "ending",
    )  # fmt: skip

    def __init__(
        self, mailbox: Mailbox, window: int, on_output: Callable[[], object], *, may_spill: bool = False
    ) -> None:
        self._lock = threading.Lock()
        self._mailbox = mailbox
        self._on_output = on_output
        self._window = window
        self._items: list[tuple[Item, int]] = []
        self._queued = 0
        self._may_spill = may_spill
        self._spill: Spill | None = None
        self._announced = False
        self._gate: Gate | None = None
        self._room: asyncio.Future[None] | None = None
        self._wanted = False
        self._hasty = False
        self._paused = False
        # Set once, by the loop: nothing that is put in from now on will reach the client.
        self.aborted: bool = False
        self.ending: bool = False

    # The thread's side.

    def put(self, item: Item, size: int = 0, *, written: bool = False) -> None:
        """Queue an item that takes ``size`` bytes of the window, without telling the loop yet.

        What was ``written`` and has no room in the window goes to a file if nobody can wait for room.
        """
        with self._lock:
            if self.aborted:
                return
            if self._spill is None:
                if not (written and self._may_spill and self._queued > self._window):
                    self._items.append((item, size))
                    self._queued += size
                    return
                self._spill = Spill()
            self._spill.put(item, size)

    def put_all(self, items: list[tuple[Item, int]]) -> None:
        """Queue several items at once."""
        with self._lock:
            if self.aborted:
                return
            for item in items:
                if self._spill is None:
                    self._items.append(item)
                    self._queued += item[1]
                else:
                    self._spill.put(*item)

    def announce(self, *, ending: bool = False) -> None:
        """Have the loop look into the outbox, unless it is about to; say whether the response is complete."""
        self.ending = ending
        with self._lock:
            if self._announced or self.aborted:
                return
            self._announced = True
        try:
            self._mailbox.post(self._on_output)
        except LoopGone:
            self.abort()

    @property
    def window(self) -> int:
        """The size of the window in bytes."""
        return self._window

    def is_drained(self) -> bool:
        """Whether all that was put in has been sent."""
        return self._queued <= 0 and self._spill is None

    def is_full(self) -> bool:
        """Whether the application has to wait before its next block."""
        return self._queued > self._window or self._spill is not None

    def pause(self) -> bool:
        """Note that the application stops here until there is room; False if it is rather to end now."""
        with self._lock:
            self._paused = not self.aborted
            return self._paused

    def go_on(self) -> None:
        """Note that the application is on its thread again."""
        with self._lock:
            self._paused = False

    def wait_for_room(self, make_gate: MakeGate) -> None:
        """Block this thread until half of the window is free, or until the outbox is aborted."""
        with self._lock:
            if self.aborted or self._queued <= self._window:
                return
            if self._gate is None:
                self._gate = make_gate()
            gate = self._gate
            self._wanted = True
        # Ends when the loop has sent enough, when the request is over, or when the loop turns out to be
        # closed.
        while not gate.wait(LOOK_INTERVAL):
            if self._mailbox.loop_is_closed():
                self.abort()

    def wait_a_little(self) -> None:
        """Give the client a moment to read on, on a thread that others need as well.

        One that lets the moment pass gets the rest by way of a file, until it has caught up.
        """
        if not self.is_full():
            self._hasty = False
        elif self._hasty:
            # Locks are not fair: without a pause a thread that only writes would keep the loop from sending.
            time.sleep(0.0005)
        else:
            with self._lock:
                if self.aborted:
                    return
                gate = self._gate = self._gate or ThreadGate()
                self._wanted = True
            self._hasty = not gate.wait(MOMENT)
            with self._lock:
                if self._hasty and not self._wanted:
                    gate.wait(0)  # opened in the meantime: close it for the next wait
                self._wanted = False

    def check(self) -> None:
        """Raise ClientDisconnected if the client is gone."""
        if self.aborted:
            raise ClientDisconnected("the client disconnected before the response was complete")

    # The loop's side.

    def take(self) -> list[tuple[Item, int]]:
        """Return all that was put in since the last time."""
        with self._lock:
            items = self._items
            self._items = []
            self._announced = False
            if not items and self._spill is not None:
                items = self._spill.take(self._window)
                self._queued += sum(size for _, size in items)
                if not self._spill:
                    self._spill.close()
                    self._spill = None
            return items

    def sent(self, size: int) -> None:
        """Give ``size`` bytes of the window back."""
        with self._lock:
            self._queued -= size
            if self._queued * 2 <= self._window and self._spill is None:
                self._open()

    async def room(self) -> None:
        """Wait, on the loop, until half of the window is free, or until the outbox is aborted.

        It ends as the wait of a thread does: sending goes on, or the request is aborted.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.aborted or (self._queued * 2 <= self._window and self._spill is None):
                return
            self._room = future
        await future

    def disconnect(self) -> None:
        """Say that the request is over: nobody looks in any more, and whoever did is let go of."""
        self._on_output = _nobody

    def abort(self) -> bool:
        """Say that the client is gone. Return whether the application is between two visits to its thread."""
        with self._lock:
            self.aborted = True
            self._items.clear()
            if self._spill is not None:
                self._spill.close()
                self._spill = None
            self._open()
            return self._paused

    def _open(self) -> None:
        if self._wanted and self._gate is not None:
            self._wanted = False
            self._gate.release()
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)


def _nobody() -> None:
    pass
