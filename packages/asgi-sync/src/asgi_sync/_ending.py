"""The end of a loop that lasted for a block of sync code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._async_to_sync import AsyncToSync
from ._hosts import LoopGoneError
from ._waiting import wait

if TYPE_CHECKING:
    from ._frame import Frame
    from ._loops import LoopThread


class _LastCall:
    """The loop as a host, whoever else may still use it."""

    def __init__(self, loop_thread: LoopThread) -> None:
        self._loop_thread = loop_thread

    def run(self, frame: Frame) -> None:
        if not self._loop_thread.submit(frame):
            raise LoopGoneError("The event loop has ended, or stayed behind in the process that was forked.")
        wait(frame)

    def release(self) -> None:
        """It ends now."""


def end_loop(loop_thread: LoopThread, *, tells_errors: bool) -> None:
    """Cancel and await all tasks, then close the loop and wait for its thread.

    The calling thread runs the thread-sensitive code that belongs to it meanwhile: what the tasks do at their end may
    need it. A thread whose own event loop runs cannot, and waits only.

    Args:
        loop_thread: Where the loop is.
        tells_errors: Whether what the tasks raise is given to the loop's exception handler, as `asyncio.run` does.
    """
    try:
        if asyncio._get_running_loop() is None:
            AsyncToSync(_end_all_tasks, host=_LastCall(loop_thread))(tells_errors)
    except LoopGoneError:
        pass  # with all that was in it
    finally:
        loop_thread.close()
        # Without limit, as at the end of asyncio.run; mostly nothing but the closing of the loop is left to do.
        loop_thread.join()


async def _end_all_tasks(tells_errors: bool) -> None:
    loop = asyncio.get_running_loop()
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if task.cancelled():
                continue
            error = task.exception()
            if error is not None and tells_errors:
                message = "unhandled exception in a task at the end of its event loop"
                loop.call_exception_handler({"message": message, "exception": error, "task": task})
            del error
    await loop.shutdown_asyncgens()
