"""Keep what crosses while a block runs, to look at it afterwards."""

from __future__ import annotations

import sys
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _chrome_trace, _summary
from ._listeners import in_progress, register, unregister

if TYPE_CHECKING:
    import os
    from contextvars import Token
    from typing import Self, TextIO

    from ._events import CrossingFinished, CrossingStarted, Outcome, Place

#: The recordings of one context alone that the running code is in.
_inside: ContextVar[tuple[Recording, ...]] = ContextVar("asgi_sync.recordings", default=())


@dataclass(frozen=True, slots=True)
class RecordedCrossing:
    """What a recording keeps of one crossing. Times are those of `time.perf_counter`, in seconds.

    While the crossing has not finished, `outcome` is `None`, and `time` that of the look at it or of the
    recording's end.
    """

    started: CrossingStarted
    outcome: Outcome | None
    #: The type of the exception that the caller was given, or `None`.
    error: str | None
    #: Where the callable ran, when it began, and when it ended; `None` for what did not happen.
    place: Place | None
    began: float | None
    ended: float | None
    time: float

    @property
    def name(self) -> str:
        """The callable's qualified name."""
        return self.started.name

    @property
    def queued(self) -> float:
        """Seconds from the call until the callable began, or until the end."""
        return (self.time if self.began is None else self.began) - self.started.time

    @property
    def ran(self) -> float:
        """Seconds that the callable ran, its own crossings included; as far as that is known."""
        return 0.0 if self.began is None else (self.time if self.ended is None else self.ended) - self.began


class Recording:
    """The crossings that took place while its block ran: what `record` gives. It is in use in all threads.

    It holds names, times and places, and none of the objects that cross.
    """

    def __init__(self, only_this_context: bool, limit: int) -> None:
        self._only_this_context = only_this_context
        self._limit = limit
        # A finalizer may cross on the very thread that holds it.
        self._lock = threading.RLock()
        self._open: dict[int, CrossingStarted] = {}
        self._closed: list[RecordedCrossing] = []
        self._token: Token[tuple[Recording, ...]] | None = None
        #: How many crossings were not kept, because there were more than `limit`.
        self.dropped: int = 0
        #: When the block began and when it ended, as of `time.perf_counter`.
        self.began: float | None = None
        self.ended: float | None = None

    def __enter__(self) -> Self:
        if self.began is not None:
            raise RuntimeError("A recording can be made once: call record() for another one.")
        self.began = time.perf_counter()
        if self._only_this_context:
            self._token = _inside.set((*_inside.get(), self))
        register(self)
        return self

    def __exit__(self, *details: object) -> None:
        unregister(self)
        with self._lock:
            self.ended = now = time.perf_counter()
            self._closed += self._unfinished(now)
            self._open.clear()
        if self._token is not None:
            try:
                _inside.reset(self._token)
            except ValueError:
                pass  # left in another context, as pytest leaves its async fixtures
            self._token = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *details: object) -> None:
        self.__exit__(*details)

    def started(self, event: CrossingStarted) -> None:
        """As a listener: a crossing starts."""
        if self._only_this_context and self not in _inside.get():
            return
        with self._lock:
            if len(self._open) + len(self._closed) >= self._limit:
                self.dropped += 1
            else:
                self._open[event.id] = event

    def finished(self, event: CrossingFinished) -> None:
        """As a listener: a crossing has finished."""
        error = None if event.error is None else type(event.error).__qualname__
        with self._lock:
            # What is open at the end of the block stays so.
            if self._open.pop(event.started.id, None) is not None:
                self._closed.append(
                    RecordedCrossing(
                        event.started, event.outcome, error, event.place, event.began, event.ended, event.time
                    )
                )

    @property
    def crossings(self) -> list[RecordedCrossing]:
        """What has been recorded until now, in the order in which it started."""
        with self._lock:
            crossings = [*self._closed, *self._unfinished(time.perf_counter())]
        return sorted(crossings, key=lambda each: each.started.id)

    def _unfinished(self, now: float) -> list[RecordedCrossing]:
        unfinished: list[RecordedCrossing] = []
        for event in list(self._open.values()):
            progress = in_progress.get(event.id)
            if progress is None:  # it has just finished, and we are told next
                unfinished.append(RecordedCrossing(event, None, None, None, None, None, now))
            else:
                # The other way round than they are set, so that what is there is complete.
                ended, began, place = progress.ended, progress.began, progress.place
                unfinished.append(RecordedCrossing(event, None, None, place, began, ended, now))
        return unfinished

    @property
    def seconds(self) -> float:
        """How long the block has run."""
        return 0.0 if self.began is None else (self.ended or time.perf_counter()) - self.began

    def callables(self) -> list[_summary.CallableSummary]:
        """The crossings of each callable together; first the one that took the most time."""
        return _summary.by_callable(self.crossings)

    def critical_waits(self, *, at_least: float = 0.001, limit: int = 10) -> list[_summary.CriticalWait]:
        """The longest times in which calls queued, with what occupied the thread meanwhile.

        Args:
            at_least: Seconds; shorter ones are left out.
            limit: How many.
        """
        return _summary.critical_waits(self.crossings, at_least, limit)

    def __str__(self) -> str:
        """The text of `summary`."""
        return _summary.as_text(self)

    def summary(self, file: TextIO | None = None) -> None:
        """Print a table: for each callable how often it crossed, how long it queued and ran, on which threads.

        Below it, the critical waits.

        Args:
            file: Where to; by default `sys.stdout`.
        """
        print(self, file=file or sys.stdout)

    def write_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a file in the trace event format, which Perfetto and chrome://tracing open.

        One row for each thread and each event loop, with an arrow for each crossing there, and one back. Calls of one
        loop that overlap without being nested get more rows for that loop.
        """
        _chrome_trace.write(path, self)


def record(*, only_this_context: bool = False, limit: int = 100_000) -> Recording:
    """Record what crosses while a block runs. For `with` and for `async with`.

    Args:
        only_this_context: Only what is called in the block, and in the tasks and crossings that it begins. By
            default what all threads and tasks of the process do.
        limit: How many crossings to keep; `Recording.dropped` counts those that are too many.

    Raises:
        ValueError: If `limit` is less than 1.

    >>> from asgi_sync import async_to_sync, record, sync_to_async
    >>> def query():
    ...     return 42
    >>> async def view():
    ...     return await sync_to_async(query)()
    >>> with record() as recording:
    ...     async_to_sync(view)()
    42
    >>> [crossing.name.rpartition(".")[2] for crossing in recording.crossings]
    ['view', 'query']
    """
    if limit < 1:
        raise ValueError(f"limit must be a number of crossings, 1 or more, not {limit!r}")
    return Recording(only_this_context, limit)
