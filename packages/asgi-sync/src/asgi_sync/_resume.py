"""Let a task go on in the same round of its loop in which what it waits for has come.

asyncio has it wait for the next round: once more through the selector, where the GIL may change hands. That is a
quarter of a whole crossing. `Future._callbacks` is asyncio's own name, the same from 3.11 to 3.15.
"""

from __future__ import annotations

import asyncio
from typing import Any


def resume(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    """Complete the future, and let the task that awaits it go on at once.

    In a callback of its loop, outside of all tasks. In debug mode the task has a callback of its own as ever, so that
    asyncio can tell which one is slow.
    """
    if type(future) is asyncio.Future and not loop.get_debug():
        callbacks: Any = future._callbacks
        # More than one: somebody else is to hear of it as well, and everybody in turn.
        if callbacks and len(callbacks) == 1:
            ((wake, context),) = callbacks
            if isinstance(getattr(wake, "__self__", None), asyncio.Task):
                future.remove_done_callback(wake)
                future.set_result(None)
                try:
                    context.run(wake, future)
                finally:
                    # An exception that the task ends with leads to this frame, which must not lead back to it.
                    del callbacks, wake, context
                return
    future.set_result(None)
