"""For siblings of this package and for tests.

How a context is carried to another thread, with what every `asgi_local.Local` holds in it; how threads tell a loop what
to do; how long idle threads are kept, and when to warn of a stall.
"""

from __future__ import annotations

from . import _stall
from ._context import CarriedContext, arrived, carried_copy
from ._inbox import Inbox, inbox_of
from ._resume import resume
from ._worker import pool

__all__ = [
    "CarriedContext",
    "Inbox",
    "arrived",
    "carried_copy",
    "inbox_of",
    "resume",
    "set_stall_limit",
    "set_worker_idle_time",
]


def set_worker_idle_time(seconds: float) -> None:
    """Change how long threads that have nothing to do are kept: workers of contexts, and loops. Default 10 seconds.

    Args:
        seconds: Counts for threads that become idle from now on. More than a million, eleven days, count as that.

    Raises:
        ValueError: If it is negative.
    """
    if not seconds >= 0:
        raise ValueError(f"the idle time must be a number of seconds, 0 or more, not {seconds!r}")
    pool.idle_time = min(seconds, 1_000_000)  # waits take no more than some weeks


def set_stall_limit(seconds: float | None) -> None:
    """Change after how long a sensitive call that waits for its thread is warned of. Default 5 seconds.

    Args:
        seconds: Counts for calls that begin to wait from now on; `None` turns the warning off.

    Raises:
        ValueError: If it is not more than 0.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"the limit must be a number of seconds, more than 0, or None, not {seconds!r}")
    _stall.limit = seconds
