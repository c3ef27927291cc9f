"""Waiting frames lend their thread to calls that their own executor has no thread left for.

A pool whose threads all wait in `async_to_sync` for calls that queue for a thread of the same pool would wait for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from ._call import Call

#: Seconds that the executor has to begin a nested call before a waiting frame takes it.
PATIENCE = 0.02


def lend_later(call: Call) -> None:
    """If a frame further out occupies a thread of the call's executor, have it run the call, unless a thread is free.

    On the loop's thread.
    """
    frame = call.outer_frame
    while frame is not None:
        outer = frame.call
        if outer is not None and outer.executor is not None and outer.executor is call.executor:
            _cancel_with(call, call.loop.call_later(PATIENCE, _lend, call))
            return
        frame = frame.outer_frame


def _cancel_with(call: Call, timer: asyncio.TimerHandle) -> None:
    call.future.add_done_callback(lambda _: timer.cancel())


def _lend(call: Call) -> None:
    frame = call.outer_frame
    while frame is not None and not call.has_begun:
        outer = frame.call
        if outer is not None and outer.executor is call.executor and frame.home.submit(call):
            return
        frame = frame.outer_frame
