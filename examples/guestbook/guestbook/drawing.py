"""A recording as a picture: one band for each thread and event loop, time from left to right. Pure SVG."""

import math
from dataclasses import dataclass, field
from html import escape

from asgi_sync import RecordedCrossing, Recording
from asgi_sync.instrumentation import Place

WIDTH = 960
MARGIN = 12
BAR = 22
GAP = 4
HEADING = 22
SCALE = 26
LETTER = 7.3
"""About how wide a letter of a label is."""


@dataclass
class Bar:
    """Something that lasts, in one band."""

    kind: str
    label: str
    tip: str
    begin: float
    end: float
    lane: int = 0
    top: float = 0.0


@dataclass
class Band:
    """A thread, or the event loop that runs in it. What overlaps is drawn one below the other."""

    name: str
    bars: list[Bar] = field(default_factory=list[Bar])
    lanes: int = 0

    def stack(self) -> None:
        ends: list[float] = []
        for bar in sorted(self.bars, key=lambda bar: (bar.begin, -bar.end)):
            bar.lane = next((lane for lane, end in enumerate(ends) if end <= bar.begin), len(ends))
            ends[bar.lane : bar.lane + 1] = [bar.end]
        self.lanes = len(ends)


def band_of(place: Place) -> tuple[int, str | None]:
    return place.thread_id, place.loop


def title_of(place: Place) -> str:
    return f"thread {place.thread_name}" if place.loop is None else f"event loop in {place.thread_name}"


def short(crossing: RecordedCrossing) -> str:
    return crossing.name.replace("<locals>.", "").rpartition("guestbook.")[2]


class Picture:
    def __init__(self, title: str, recording: Recording) -> None:
        self._title = title
        self._recording = recording
        self._begin = recording.began or 0.0
        self._seconds = max(recording.seconds, 1e-6)
        self._bands: dict[tuple[int, str | None], Band] = {}
        self._arrows: list[tuple[Bar, float, Bar, float]] = []

    def draw(self) -> str:
        crossings = self._recording.crossings
        if crossings:
            bar = Bar("request", self._title, self._title, self._begin, self._begin + self._seconds)
            self._band(crossings[0].started.caller).bars.append(bar)
        for crossing in crossings:
            self._add(crossing)
        height = self._lay_out()
        body = [*self._scale(height), *self._draw_bands(), *map(self._draw_arrow, self._arrows)]
        return (
            f'<svg class="crossings" viewBox="0 0 {WIDTH} {height:g}" role="img" '
            f'aria-label="{escape(self._title)}: {len(crossings)} crossings">'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
            f"{''.join(body)}</svg>"
        )

    def _band(self, place: Place) -> Band:
        return self._bands.setdefault(band_of(place), Band(title_of(place)))

    def _add(self, crossing: RecordedCrossing) -> None:
        started, name = crossing.started, short(crossing)
        tip = (
            f"{crossing.name}\n{started.direction.value}, {started.mode.value}\n"
            f"queued {crossing.queued * 1000:.2f} ms, ran {crossing.ran * 1000:.2f} ms\n"
            f"on {started.executor}: {started.reason.value}"
        )
        waits = Bar("wait", f"{started.direction.value}({name})", tip, started.time, crossing.time)
        self._band(started.caller).bars.append(waits)
        if crossing.place is None or crossing.began is None:
            return
        runs = Bar("run", name, tip, crossing.began, crossing.began + crossing.ran)
        self._band(crossing.place).bars.append(runs)
        self._arrows.append((waits, started.time, runs, runs.begin))
        self._arrows.append((runs, runs.end, waits, waits.end))

    def _lay_out(self) -> float:
        top = float(SCALE)
        for band in self._bands.values():
            band.stack()
            for bar in band.bars:
                bar.top = top + HEADING + bar.lane * (BAR + GAP)
            top += HEADING + band.lanes * (BAR + GAP) + 2 * GAP
        return top + GAP

    def _x(self, at: float) -> float:
        return round(MARGIN + (at - self._begin) / self._seconds * (WIDTH - 2 * MARGIN), 2)

    def _scale(self, height: float) -> list[str]:
        rough = self._seconds * 1000 / 8
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        drawn: list[str] = []
        for number in range(int(self._seconds * 1000 / step) + 1):
            x = self._x(self._begin + number * step / 1000)
            drawn.append(f'<path class="tick" d="M{x} {SCALE - 6}V{height:g}"/>')
            drawn.append(f'<text class="scale" x="{x + 3}" y="{SCALE - 10}">{number * step:g} ms</text>')
        return drawn

    def _draw_bands(self) -> list[str]:
        drawn: list[str] = []
        for band in self._bands.values():
            first = min(bar.top for bar in band.bars)
            drawn.append(f'<text class="band" x="{MARGIN}" y="{first - 7:g}">{escape(band.name)}</text>')
            drawn += map(self._draw_bar, band.bars)
        return drawn

    def _draw_bar(self, bar: Bar) -> str:
        x = self._x(bar.begin)
        width = max(2.0, round(self._x(bar.end) - x, 2))
        room = int((width - 8) / LETTER)
        label = bar.label if len(bar.label) <= room else f"{bar.label[: room - 1]}…" if room > 3 else ""
        text = f'<text x="{x + 5}" y="{bar.top + BAR - 7:g}">{escape(label)}</text>' if label else ""
        return (
            f'<g class="{bar.kind}"><title>{escape(bar.tip)}</title>'
            f'<rect x="{x}" y="{bar.top:g}" width="{width}" height="{BAR}" rx="3"/>{text}</g>'
        )

    def _draw_arrow(self, arrow: tuple[Bar, float, Bar, float]) -> str:
        origin, left, target, arrived = arrow
        down = target.top > origin.top
        y_from, y_to = (origin.top + BAR, target.top) if down else (origin.top, target.top + BAR)
        return f'<path class="arrow" d="M{self._x(left)} {y_from:g}L{self._x(arrived)} {y_to:g}"/>'


def draw(title: str, recording: Recording) -> str:
    """The SVG element."""
    return Picture(title, recording).draw()
