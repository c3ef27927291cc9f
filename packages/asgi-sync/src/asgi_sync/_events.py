"""What listeners are told of a crossing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ._route import Reason


class Direction(enum.Enum):
    """Which way a crossing goes: the name of the bridge."""

    SYNC_TO_ASYNC = "sync_to_async"
    ASYNC_TO_SYNC = "async_to_sync"


class Mode(enum.Enum):
    """What was asked for when the bridge was made."""

    THREAD_SENSITIVE = "thread-sensitive"
    ANY_THREAD = "not thread-sensitive"
    ANY_LOOP = "in the event loop that fits"
    NEW_LOOP = "in a new event loop"
    BOUND_LOOP = "in one certain event loop"


class Outcome(enum.Enum):
    """How a crossing ended, for the caller."""

    RETURNED = "returned"
    RAISED = "raised"
    #: With `CancelledError`: before the called code began, or because that code has raised it.
    CANCELLED = "cancelled"
    #: The task that waited was cancelled; the sync code still runs on its thread.
    ABANDONED = "abandoned"


class Place(NamedTuple):
    """Where code runs."""

    thread_id: int
    thread_name: str
    #: The running event loop: its number, counted from 1 in the order in which loops were first seen, and its type.
    loop: str | None = None
    #: The name of the running task.
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingStarted:
    """A call is about to cross. Times are those of `time.perf_counter`, in seconds."""

    #: Its number in this process.
    id: int
    #: The crossing whose called code makes this one, directly or in a task of its own.
    parent: int | None
    direction: Direction
    #: The qualified name of the callable, with its module. For a step of an iterator or a context manager: of what
    #: made it.
    name: str
    mode: Mode
    #: Where the callable is to run, in words: a thread, an executor, an event loop.
    executor: str
    #: Why there.
    reason: Reason
    caller: Place
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingFinished:
    """A call has come back, or its caller has given it up."""

    started: CrossingStarted
    outcome: Outcome
    #: What the caller is given instead of a result. To keep the event is to keep the exception and its traceback.
    error: BaseException | None
    #: Where the callable ran, or `None` if it never began.
    place: Place | None
    #: When it began, and when it ended: `None` if it has not.
    began: float | None
    ended: float | None
    time: float

    @property
    def queued(self) -> float:
        """Seconds from the call until the callable began, or until the caller gave up."""
        return (self.time if self.began is None else self.began) - self.started.time

    @property
    def ran(self) -> float | None:
        """Seconds that the callable ran, waiting for its own crossings included; `None` if it has not ended."""
        return None if self.began is None or self.ended is None else self.ended - self.began
