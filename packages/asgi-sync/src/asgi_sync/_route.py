"""Where a thread-sensitive call runs."""

from __future__ import annotations

import enum
from typing import Any

from ._frame import home_for


class Reason(enum.Enum):
    """Why a call runs where it does; for each kind of call, in the order in which the places are looked at."""

    # Sensitive sync code, as `choose` decides.
    WAITING_FRAME = "a sync frame further out waits for this coroutine"
    CONTEXT = "inside a ThreadSensitiveContext"
    LOOP = "a sync frame waits for this event loop"
    PROCESS = "the process's thread for sensitive code"
    # Other sync code.
    EXECUTOR = "the executor that was given"
    DEFAULT_EXECUTOR = "the event loop's default executor"
    # A step of an iterator or of a context manager.
    SAME_THREAD = "the thread that it began on"
    # Async code.
    BOUND_LOOP = "the event loop that it is bound to"
    NEW_LOOP = "force_new_loop is set"
    PARENT_LOOP = "a task of this event loop waits for the sync code that calls"
    SINGLE_THREAD_CONTEXT = "inside an AsyncSingleThreadContext"
    OWN_LOOP = "no event loop waits for the sync code that calls"


_PROCESS = (Reason.PROCESS, None)


def choose(current: object, scope: object, loop_executor: object) -> tuple[Reason, Any]:
    """Decide where a sensitive call runs.

    Args:
        current: `AsyncToSync.executors.current` in the caller's context.
        scope: The `ThreadSensitiveContext` that the caller is in.
        loop_executor: The entry of `AsyncToSync.loop_thread_executors` for the running loop.

    Each may be `None`. Executors may be this package's own or foreign.

    Returns:
        The reason, and with it: for a frame or a loop the `Home` of the thread or a foreign executor, for a context
        that context, for the process `None`. A frame that waits no longer, with all that are further out, is passed
        over (asgiref issues 491 and 526).
    """
    if current is None and scope is None and loop_executor is None:
        return _PROCESS
    if current is not None:
        place = home_for(current)
        if place is not None:
            return Reason.WAITING_FRAME, place
    if scope is not None:
        return Reason.CONTEXT, scope
    if loop_executor is not None:
        place = home_for(loop_executor)
        if place is not None:
            return Reason.LOOP, place
    return _PROCESS
