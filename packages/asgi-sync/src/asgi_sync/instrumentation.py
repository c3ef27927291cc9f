"""Be told of every call that crosses between sync and async code.

For monitoring agents, tracers and whoever wants to know where a request spends its time, so that nobody has to patch
this package. With nobody registered it costs nothing.
"""

from __future__ import annotations

from ._events import CrossingFinished, CrossingStarted, Direction, Mode, Outcome, Place
from ._listeners import (
    CrossingListener,
    FinishedListener,
    StartedListener,
    listening,
    register,
    unregister,
)
from ._route import Reason
from .lowlevel import set_stall_limit

__all__ = [
    "CrossingFinished",
    "CrossingListener",
    "CrossingStarted",
    "Direction",
    "FinishedListener",
    "Mode",
    "Outcome",
    "Place",
    "Reason",
    "StartedListener",
    "listening",
    "register",
    "set_stall_limit",
    "unregister",
]
