"""What a recording says in figures: the callables, and the waits that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._events import Direction, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._recorder import RecordedCrossing, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableSummary:
    """The crossings of one callable in one direction. Times are seconds."""

    name: str
    direction: Direction
    count: int
    #: How many of them did not return.
    failed: int
    total_queued: float
    worst_queued: float
    total_ran: float
    worst_ran: float
    #: The names of the threads that it ran on.
    threads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CriticalWait:
    """A call that queued, and what its thread did meanwhile."""

    crossing: RecordedCrossing
    #: The recorded calls that occupied it, and for how many seconds of the wait; the longest first.
    behind: tuple[tuple[RecordedCrossing, float], ...]

    @property
    def seconds(self) -> float:
        """How long it queued."""
        return self.crossing.queued


def by_callable(crossings: Iterable[RecordedCrossing]) -> list[CallableSummary]:
    groups: dict[tuple[str, Direction], list[RecordedCrossing]] = {}
    for each in crossings:
        groups.setdefault((each.name, each.started.direction), []).append(each)
    summaries = [
        CallableSummary(
            name=name,
            direction=direction,
            count=len(group),
            failed=sum(each.outcome is not Outcome.RETURNED for each in group),
            total_queued=sum(each.queued for each in group),
            worst_queued=max(each.queued for each in group),
            total_ran=sum(each.ran for each in group),
            worst_ran=max(each.ran for each in group),
            threads=tuple(dict.fromkeys(each.place.thread_name for each in group if each.place is not None)),
        )
        for (name, direction), group in groups.items()
    ]
    return sorted(summaries, key=lambda each: each.total_queued + each.total_ran, reverse=True)


def critical_waits(crossings: Sequence[RecordedCrossing], at_least: float, limit: int) -> list[CriticalWait]:
    waited = sorted(
        (each for each in crossings if each.queued >= at_least), key=lambda each: each.queued, reverse=True
    )
    occupied = [(each, _occupied(each, crossings)) for each in crossings if _is_sync(each)] if waited else []
    return [CriticalWait(each, _behind(each, occupied)) for each in waited[:limit]]


def _is_sync(crossing: RecordedCrossing) -> bool:
    """Whether it occupied a thread. What runs in an event loop leaves it to others most of the time."""
    return crossing.started.direction is Direction.SYNC_TO_ASYNC and crossing.began is not None


def _occupied(crossing: RecordedCrossing, crossings: Iterable[RecordedCrossing]) -> list[tuple[float, float]]:
    """When it occupied its thread: while it ran, but for the times in which it waited for async code."""
    assert crossing.began is not None
    spans: list[tuple[float, float]] = []
    at = crossing.began
    for child in crossings:  # in the order in which they began
        if child.started.parent == crossing.started.id and _waits_on_thread_of(child, crossing):
            spans.append((at, child.started.time))
            at = child.time
    spans.append((at, crossing.began + crossing.ran))
    return spans


def _waits_on_thread_of(child: RecordedCrossing, crossing: RecordedCrossing) -> bool:
    assert crossing.place is not None
    return (
        child.started.direction is Direction.ASYNC_TO_SYNC
        and child.started.caller.thread_id == crossing.place.thread_id
    )


def _behind(
    waiting: RecordedCrossing, occupied: Iterable[tuple[RecordedCrossing, list[tuple[float, float]]]]
) -> tuple[tuple[RecordedCrossing, float], ...]:
    place = waiting.place
    if place is None:
        return ()  # it ran nowhere
    begin, end = waiting.started.time, waiting.started.time + waiting.queued
    found: list[tuple[RecordedCrossing, float]] = []
    for each, spans in occupied:
        assert each.place is not None
        if each is not waiting and each.place.thread_id == place.thread_id:
            seconds = sum(max(0.0, min(end, last) - max(begin, first)) for first, last in spans)
            if seconds > 0:
                found.append((each, seconds))
    return tuple(sorted(found, key=lambda pair: pair[1], reverse=True))


def as_text(recording: Recording) -> str:
    crossings = recording.crossings
    unfinished = sum(each.outcome is None for each in crossings)
    notes = [f"{len(crossings)} crossing{'s' * (len(crossings) != 1)} in {milliseconds(recording.seconds)}"]
    if unfinished:
        notes.append(f"{unfinished} not finished")
    if recording.dropped:
        notes.append(f"{recording.dropped} more not kept")
    lines = [", ".join(notes)]
    if crossings:
        lines += ["", *_table(recording.callables())]
    waits = recording.critical_waits()
    if waits:
        lines += ["", "Critical waits", *(_told(wait) for wait in waits)]
    return "\n".join(lines)


_ARROWS = {Direction.SYNC_TO_ASYNC: "to thread", Direction.ASYNC_TO_SYNC: "to loop"}
_HEAD = ("callable", "", "count", "failed", "queued", "worst", "ran", "worst", "on")


def _table(summaries: Iterable[CallableSummary]) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEAD]
    rows += [
        (
            each.name,
            _ARROWS[each.direction],
            str(each.count),
            str(each.failed) if each.failed else "",
            milliseconds(each.total_queued),
            milliseconds(each.worst_queued),
            milliseconds(each.total_ran),
            milliseconds(each.worst_ran),
            _threads(each.threads),
        )
        for each in summaries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.rjust(width) if 2 <= column <= 7 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines


def _threads(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more threads"


def _told(wait: CriticalWait) -> str:
    place = wait.crossing.place
    line = f"  {milliseconds(wait.seconds)}  {wait.crossing.name}"
    if place is None:
        return f"{line}, which never began"
    line += f" waited for {place.thread_name if place.loop is None else f'event loop {place.loop}'}"
    if not wait.behind:
        return line
    shown = ", ".join(f"{each.name} ({milliseconds(seconds)})" for each, seconds in wait.behind[:3])
    more = f" and {len(wait.behind) - 3} more" if len(wait.behind) > 3 else ""
    return f"{line} behind {shown}{more}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
