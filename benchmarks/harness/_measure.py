"""Interleaved rounds in one process.

Absolute times drift with the machine: another guest on the host, a change of the clock. So all subjects of
a comparison take turns within each round, the ratio is formed within the round, and the median over the
rounds is what counts; the spread says how far to trust it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
import timeit
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

Subject = Callable[[int], float]


def statement(
    source: str,
    names: Mapping[str, Any],
    setup: str = "pass",
    timer: Callable[[], float] = time.perf_counter,
) -> Subject:
    """Return a subject that times *source*, as ``timeit`` does, with *names* as its globals.

    What only computes may use ``time.thread_time`` as *timer*: that does not count the time in which another
    process had the core. What waits, or uses other threads, must not.
    """
    return timeit.Timer(source, setup, timer, dict(names)).timeit


def coroutine(function: Callable[[int], Awaitable[float]]) -> Subject:
    """Return a subject that runs ``await function(n)``, which returns seconds, on a fresh event loop."""

    def measure(n: int) -> float:
        async def main() -> float:
            return await function(n)

        return asyncio.run(main())

    return measure


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this process, threads that it starts included, on one core; ``None`` leaves it alone."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Comparison:
    """What was measured of one thing: per subject, and per round, the seconds for one repetition."""

    title: str
    pinned: bool
    seconds: dict[str, list[float]]
    ours: str = field(default="")

    def ratios(self, peer: str) -> list[float]:
        """Return, round by round, how many times longer *peer* took than we did."""
        return [
            theirs / ours for theirs, ours in zip(self.seconds[peer], self.seconds[self.ours], strict=True)
        ]


class Bench:
    """Runs the comparisons of one script and keeps their results.

    Args:
        rounds: rounds per comparison.
        seconds: how long one subject's turn in a round takes, about.
        modes: ``True`` for pinned to one core, ``False`` for not; one comparison for each.
        only: part of a title; other comparisons are left out.
        quick: for trying: what takes long and is no comparison should be left out.
    """

    def __init__(
        self,
        rounds: int = 9,
        seconds: float = 0.02,
        modes: tuple[bool, ...] = (True,),
        only: str = "",
        *,
        quick: bool = False,
    ) -> None:
        if rounds < 3:
            raise ValueError(f"rounds must be 3 or more to have a median and a spread, not {rounds}")
        self.rounds = rounds
        self.seconds = seconds
        self.modes = modes
        self.only = only
        self.quick = quick
        self.comparisons: list[Comparison] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a figure that is no time per call. It is printed to standard error, and goes into the report."""
        self.notes.append(text)
        print(text, file=sys.stderr, flush=True)

    def compare(self, title: str, subjects: Mapping[str, Subject], rounds: int | None = None) -> None:
        """Measure *subjects*, of which the first is ours, in turns."""
        if self.only not in title:
            return
        core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        for pin in self.modes:
            with pinned(core if pin else None):
                seconds = self._rounds(subjects, rounds or self.rounds)
            self.comparisons.append(Comparison(title, pin, seconds, next(iter(subjects))))

    def _rounds(self, subjects: Mapping[str, Subject], rounds: int) -> dict[str, list[float]]:
        repeat = {name: self._calibrate(subject) for name, subject in subjects.items()}
        seconds: dict[str, list[float]] = {name: [] for name in subjects}
        names = list(subjects)
        for turn in range(rounds):
            # Another one begins each round, so that nobody always runs in the wake of the same neighbour.
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                seconds[name].append(subjects[name](repeat[name]) / repeat[name])
        return seconds

    def _calibrate(self, subject: Subject) -> int:
        n = 1
        while (took := subject(n)) < self.seconds / 4:
            n = max(n * 2, int(n * self.seconds / 2 / took) if took > 0 else 0)
        return max(1, round(n * self.seconds / took))

    def as_json(self) -> list[dict[str, Any]]:
        """Return all comparisons as plain data, with medians and ratios beside the raw figures."""
        out: list[dict[str, Any]] = []
        for comparison in self.comparisons:
            peers = [name for name in comparison.seconds if name != comparison.ours]
            out.append(
                asdict(comparison)
                | {
                    "median": {name: statistics.median(times) for name, times in comparison.seconds.items()},
                    "ratio": {name: summary(comparison.ratios(name)) for name in peers},
                }
            )
        return out


def summary(ratios: list[float]) -> dict[str, float]:
    """Return median, lowest and highest of *ratios*."""
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
