"""How to get a portal: for the length of a block, or one for the whole process."""

from __future__ import annotations

import asyncio
import atexit
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._loops import LoopThread
from ._portal import BlockingPortal
from ._state import process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._hosts import Host


@contextmanager
def start_blocking_portal(
    *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None, name: str | None = None
) -> Generator[BlockingPortal]:
    """Start an event loop in a thread of its own, for as long as the block lasts.

    At the end of the block its tasks are cancelled and awaited, then the loop is closed. The thread that
    leaves the block runs the thread-sensitive code that belongs to it until then.

    Args:
        loop_factory: Makes the loop, `uvloop.new_event_loop` for instance; by default asyncio's policy does.
        name: The name of the thread.

    Returns:
        A context manager that gives a `BlockingPortal`.

    Raises:
        RuntimeError: On the thread of a running event loop.
        TypeError: If `loop_factory` cannot be called.

    >>> import asyncio
    >>> from asgi_sync import async_to_sync, start_blocking_portal
    >>> async def main():
    ...     await asyncio.sleep(0)
    ...     return "done"
    >>> with start_blocking_portal() as portal:
    ...     print(portal.call(main))
    ...     print(async_to_sync(main, portal=portal)())
    ...     print(portal.start_task_soon(main).result(timeout=10))
    done
    done
    done
    """
    if loop_factory is not None and not callable(loop_factory):
        raise TypeError(f"loop_factory must be a function that makes an event loop, not {loop_factory!r}")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "start_blocking_portal is for sync code: the end of its block would block this thread's event loop."
        )
    portal = BlockingPortal(LoopThread(is_shared=True, loop_factory=loop_factory, name=name))
    try:
        yield portal
    finally:
        portal._stop()


class _Shared:
    """The process's portal."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start from nothing, as in a forked child."""
        # A finalizer may ask for it on the very thread that makes it.
        self.lock = threading.RLock()
        self.portal: BlockingPortal | None = None

    def adopt(self, loop_thread: LoopThread) -> BlockingPortal:
        """Have the portal in this loop."""
        if self.portal is None:
            self.portal = BlockingPortal(loop_thread)
            # Before the loop is closed with all others, which are given two seconds: as at the end of a block.
            atexit.register(self.portal._stop)
        else:
            loop_thread.close()  # a finalizer was quicker
        return self.portal


_shared = _Shared()
process.on_fork(_shared.renew)


def process_portal() -> BlockingPortal:
    """The portal that all of the process shares: made at the first call, closed when the interpreter exits.

    Its tasks are cancelled and awaited then, however long that takes; Ctrl-C ends the wait. A forked child gets one of
    its own.

    >>> from asgi_sync import process_portal
    >>> process_portal() is process_portal()
    True
    """
    with _shared.lock:
        return _shared.portal or _shared.adopt(LoopThread(is_shared=True, name="asgi-sync-portal"))


def host_of(portal: Any) -> Host | None:
    if portal is None:
        return None
    if not isinstance(portal, BlockingPortal):
        raise TypeError(f"portal must be a BlockingPortal, not {portal!r}")
    return portal._host
