"""Whether an event loop can be told from a new one.

Only asyncio's selector loop can be looked into. The names with an underscore are asyncio's, the same from 3.11 to 3.15.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from ._inbox import inbox_of
from ._stall import StallWatch

if TYPE_CHECKING:
    import threading


def attributes(loop: Any) -> dict[str, Any]:
    """What is the same in a clean loop whenever it runs: executors, handlers, flags, nothing that others hung on it."""
    return dict(getattr(loop, "__dict__", {}))


def is_clean(loop: Any, before: dict[str, Any]) -> bool:
    """Whether nothing that a call could leave in a loop is there. A loop that cannot be looked into never is clean.

    Args:
        before: Its attributes before the call.
    """
    return (
        _can_look_into(loop)
        and _is_as_before(loop.__dict__, before)
        and not has_callbacks(loop)
        and len(loop._selector.get_map()) == 1 + inbox_of(loop).is_armed  # and the loop's own self-pipe
        and not loop._asyncgens
        and loop._default_executor is None  # a new loop would have a new one
        and not (loop._scheduled and _has_timers(loop))
        and not _watches_subprocess(loop)
        and not _has_tasks(loop)
    )


def _is_as_before(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether nothing differs but how many of the timers are cancelled."""
    return now == before or now == {**before, "_timer_cancelled_count": now["_timer_cancelled_count"]}


def _has_timers(loop: Any) -> bool:
    return any(not (handle.cancelled() or StallWatch.owns(handle)) for handle in loop._scheduled)


# Up to 3.13 all_tasks copies a set of the tasks of all loops: mostly it is enough to see that there are none. From 3.14
# on the set holds only tasks that are not asyncio's own; those are in lists of the interpreter's.
_tasks_of_all: Any = getattr(asyncio.tasks, "_scheduled_tasks", None) if sys.version_info < (3, 14) else None


def _has_tasks(loop: asyncio.AbstractEventLoop) -> bool:
    if _tasks_of_all is not None and not len(_tasks_of_all):
        return False
    return bool(asyncio.all_tasks(loop))


def _can_look_into(loop: object) -> bool:
    return type(loop) is asyncio.SelectorEventLoop


def has_callbacks(loop: Any) -> bool:
    """Whether the loop has something to run, besides what it does itself when it was woken from another thread."""
    ready = getattr(loop, "_ready", None)
    if not ready:
        return False
    wake = loop._read_from_self
    try:
        # A copy, because other threads add to it at any time, and each comparison may let them run.
        return any(handle._callback != wake for handle in ready.copy())
    except RuntimeError:  # without a GIL even while it is copied
        return True


def set_shut(loop: Any, shut: bool) -> None:
    """Let a clean loop look closed to everybody, or open again.

    It does not run between two calls: what others sent to it then would wait without end, where a loop that is really
    closed refuses it.
    """
    loop._closed = shut


def _watches_subprocess(loop: Any) -> bool:
    """Whether a thread of asyncio's waits for a subprocess. Where the kernel tells, the loop holds a descriptor."""
    watcher = getattr(loop, "_watcher", None)
    if watcher is None and sys.version_info < (3, 14):
        policy: Any = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated]  # not in these versions
        watcher = getattr(policy, "_watcher", None)
    threads: dict[int, threading.Thread] | None = getattr(watcher, "_threads", None)
    return threads is not None and any(each.is_alive() for each in list(threads.values()))
