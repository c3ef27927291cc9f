"""Write a recording in the trace event format, for Perfetto and chrome://tracing.

The format: "Trace Event Format", in the documentation of the Chromium project's catapult.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._events import Place
    from ._recorder import RecordedCrossing, Recording

Event = dict[str, Any]

#: Microseconds by which an arrow begins before the end of what it comes from, so that it belongs to that.
_INSIDE = 0.001


def write(path: str | os.PathLike[str], recording: Recording) -> None:
    crossings = recording.crossings
    trace = _Trace(recording.began or 0.0)
    for each in crossings:
        trace.add(each)
    document = {
        "traceEvents": trace.events(),
        "displayTimeUnit": "ms",
        "otherData": {"producer": "asgi-sync", "dropped": recording.dropped},
    }
    Path(path).write_text(json.dumps(document, indent=None, separators=(",", ":")), encoding="utf-8")


class _Row:
    """A row of the picture: slices in it are beside each other, or one inside the other."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        #: The slices that are open at the time reached, outermost first: their crossing and their end.
        self.open: list[tuple[int, float]] = []


class _Slice:
    """Something that lasts, on one thread or in one loop."""

    def __init__(self, crossing: RecordedCrossing, place: Place, name: str, begin: float, end: float) -> None:
        self.crossing = crossing
        self.place = place
        self.name = name
        self.begin = begin
        self.end = max(begin, end)
        self.row: int = 0


class _Trace:
    def __init__(self, zero: float) -> None:
        self._zero = zero
        self._calls: list[tuple[RecordedCrossing, _Slice, _Slice | None]] = []
        self._rows: dict[tuple[int, str | None], list[_Row]] = {}
        self._parents: dict[int, int | None] = {}
        self._pid = os.getpid()

    def add(self, crossing: RecordedCrossing) -> None:
        started = crossing.started
        self._parents[started.id] = started.parent
        waits = _Slice(
            crossing,
            started.caller,
            f"{started.direction.value}: {started.name}",
            started.time,
            crossing.time,
        )
        runs = None
        if crossing.place is not None and crossing.began is not None:
            runs = _Slice(
                crossing, crossing.place, started.name, crossing.began, crossing.began + crossing.ran
            )
        self._calls.append((crossing, waits, runs))

    def events(self) -> list[Event]:
        slices = [each for _, waits, runs in self._calls for each in (waits, runs) if each is not None]
        # What begins first is further out; of two that begin together, the longer one.
        for each in sorted(slices, key=lambda each: (each.begin, -each.end)):
            each.row = self._row_for(each).number
        events = [self._event("M", 0, None, "process_name", args={"name": f"asgi-sync {self._pid}"})]
        for number, row in enumerate(self._all_rows()):
            events.append(self._event("M", row.number, None, "thread_name", args={"name": row.name}))
            events.append(
                self._event("M", row.number, None, "thread_sort_index", args={"sort_index": number})
            )
        for crossing, waits, runs in self._calls:
            events += self._events_of(crossing, waits, runs)
        return events

    def _all_rows(self) -> list[_Row]:
        return [row for rows in self._rows.values() for row in rows]

    def _row_for(self, piece: _Slice) -> _Row:
        """The first row of its thread or loop in which it lies inside what it is part of, or beside all.

        A thread runs one thing at a time, its loop many: these overlap.
        """
        place = piece.place
        rows = self._rows.setdefault((place.thread_id, place.loop), [])
        for row in rows:
            while row.open and row.open[-1][1] <= piece.begin:
                row.open.pop()
            if not row.open or (
                piece.end <= row.open[-1][1] and (place.loop is None or self._is_part(piece, row.open[-1][0]))
            ):
                break
        else:
            name = place.thread_name if place.loop is None else f"{place.thread_name}, loop {place.loop}"
            row = _Row(len(self._all_rows()) + 1, f"{name} ({len(rows) + 1})" if rows else name)
            rows.append(row)
        row.open.append((piece.crossing.started.id, piece.end))
        return row

    def _is_part(self, piece: _Slice, outer: int) -> bool:
        crossing: int | None = piece.crossing.started.id
        while crossing is not None and crossing != outer:
            crossing = self._parents.get(crossing)
        return crossing is not None

    def _events_of(self, crossing: RecordedCrossing, waits: _Slice, runs: _Slice | None) -> list[Event]:
        started = crossing.started
        told = {
            "mode": started.mode.value,
            "executor": started.executor,
            "reason": started.reason.value,
            "task": started.caller.task or (crossing.place.task if crossing.place else None),
            "outcome": crossing.outcome.value if crossing.outcome else "not finished",
            "error": crossing.error,
            "queued ms": round(crossing.queued * 1000, 4),
        }
        events = [self._slice(waits, "wait", told)]
        if runs is None:
            return events
        # A thread that waits serves others meanwhile, whose slices would overlap with this one.
        if waits.place.loop is not None and runs.begin > waits.begin:
            queued = _Slice(crossing, waits.place, "queued", waits.begin, min(runs.begin, waits.end))
            queued.row = waits.row
            events.append(self._slice(queued, "queue", {}))
        events.append(self._slice(runs, "run", told))
        there, back = 2 * started.id, 2 * started.id + 1
        events.append(self._event("s", waits.row, waits.begin, "call", "crossing", id=there))
        events.append(self._event("f", runs.row, runs.begin, "call", "crossing", id=there, bp="e"))
        if crossing.ended is not None and crossing.outcome is not None:
            events.append(self._event("s", runs.row, runs.end, "return", "crossing", -_INSIDE, id=back))
            events.append(
                self._event("f", waits.row, waits.end, "return", "crossing", -_INSIDE, id=back, bp="e")
            )
        return events

    def _slice(self, piece: _Slice, category: str, args: Event) -> Event:
        duration = round((piece.end - piece.begin) * 1e6, 3)
        return self._event("X", piece.row, piece.begin, piece.name, category, dur=duration, args=args)

    def _event(
        self,
        phase: str,
        row: int,
        at: float | None,
        name: str,
        category: str = "",
        later: float = 0.0,
        **more: Any,
    ) -> Event:
        event: Event = {"ph": phase, "pid": self._pid, "tid": row, "name": name, **more}
        if category:
            event["cat"] = category
        if at is not None:
            event["ts"] = round((at - self._zero) * 1e6 + later, 3)
        return event
