"""What this package knows about the process and about each thread."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._home import Home
    from ._inbox import Inbox
    from ._loops import LoopKeeper


class _Process:
    """The process as of its last fork.

    Nothing that a fork leaves behind in the child has a thread any more: queues nobody serves, loops nobody runs.
    Whatever depends on a thread therefore remembers the `generation` it was made in, and is dead in any other.
    """

    __slots__ = ("_renewals", "generation", "pid")

    def __init__(self) -> None:
        self._renewals: list[Callable[[], None]] = []
        self.renew()

    def on_fork(self, renew: Callable[[], None]) -> None:
        """Call `renew` in every forked child, after the generation has changed."""
        self._renewals.append(renew)

    def renew(self) -> None:
        self.pid = os.getpid()
        self.generation = object()
        for renew in self._renewals:
            renew()


class _Thread(threading.local):
    """What belongs to the running thread."""

    #: The queue of work that this thread serves while it waits, made when it first waits.
    home: Home | None = None
    #: Where calls that end leave word for the loop that runs in this thread.
    inbox: Inbox | None = None
    #: The loop threads that work for this thread.
    loops: LoopKeeper | None = None


process = _Process()
thread = _Thread()

#: `SyncToAsync.threadlocal`: what asgiref lets everybody read and write. `main_event_loop` is the loop whose task
#: waits for the sync code that runs in this thread, and `main_event_loop_pid` the process which that loop is in.
public_thread = threading.local()


def _after_fork_in_child() -> None:
    process.renew()
    # The forking thread may have been in the middle of a call; in the child, nobody waits for it.
    thread.home = thread.inbox = thread.loops = None
    public_thread.__dict__.pop("main_event_loop", None)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
