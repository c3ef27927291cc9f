"""A chart of ratios, as SVG that can be read as text: a row a comparison, a panel an interpreter, a mark a peer.

The axis is logarithmic, for 2 times faster and 2 times slower to be as far from 1. A mark is the median over the
rounds, the line through it the whole spread. On the shaded side of 1 the peer is faster than we are. Peers
differ in shape as well as in colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Ratio:
    """How many times longer the peer took than we did."""

    median: float
    low: float
    high: float


@dataclass
class Row:
    """What was measured: per interpreter and peer."""

    title: str
    ours: str = ""
    """What the others are compared with: it is at 1."""
    ratios: dict[str, dict[str, Ratio]] = field(default_factory=dict)


#: Colours of Okabe and Ito, which people with any kind of colour vision can tell apart.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#a6761d")
FAMILIAR = ("asgiref", "asgire", "anyio", "bare")
SHAPES = ("circle", "square", "diamond", "triangle", "wedge")
INK, MUTED, RULE, PAPER, LOSING = "#1f2328", "#57606a", "#d0d7de", "#ffffff", "#fbe9e7"

WIDTH = 920
LABELS = 270
GAP = 26
LINE = 11  # between two marks of a row
PAD = 9  # above and below the marks of a row
LOWEST = 46  # a row: its title may take three lines
TEXT = 12


def chart(title: str, rows: Sequence[Row], interpreters: Sequence[str]) -> str:
    """Return the SVG document.

    Raises:
        ValueError: There is nothing to draw.
    """
    peers = list(dict.fromkeys(peer for row in rows for ratios in row.ratios.values() for peer in ratios))
    if not peers:
        raise ValueError(f"nothing to draw of {title!r}: {len(rows)} rows, no peer")
    axis = Axis.around(ratio for row in rows for ratios in row.ratios.values() for ratio in ratios.values())
    styles = _styles(peers)
    ours = list(dict.fromkeys(row.ours for row in rows if row.ours))
    legend, top = _legend(styles, ours[0] if len(ours) == 1 else "")
    body, bottom = _rows(rows, interpreters, axis, styles, top + 34, name_ours=len(ours) > 1)
    panels = [
        part
        for index, interpreter in enumerate(interpreters)
        for part in _panel(interpreter, *_span(index, len(interpreters)), axis, top + 34, bottom)
    ]
    about = (
        f"{len(rows)} comparisons with {', '.join(peers)} on {', '.join(interpreters)}; figures in the tables"
    )
    height = bottom + 46
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="{TEXT}" fill="{INK}">'
    )
    below = "how many times longer the peer takes: right of 1 we are faster, on the shaded side the peer is"
    return "\n".join(
        [
            head,
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(about)}</desc>",
            f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
            _text(12, 22, title, size=15, bold=True),
            *legend,
            *panels,
            *body,
            _text(LABELS, bottom + 36, below, size=11, colour=MUTED),
            "</svg>",
            "",
        ]
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = TEXT,
    bold: bool = False,
    colour: str = INK,
    middle: bool = False,
) -> str:
    more = (' font-weight="600"' if bold else "") + (' text-anchor="middle"' if middle else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{more}>{escape(text)}</text>'


def _styles(peers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and shape of each peer: the same in all charts for those that are in many of them."""
    taken = [FAMILIAR.index(peer) for peer in peers if peer in FAMILIAR]
    free = iter([number for number in range(len(peers) + len(FAMILIAR)) if number not in taken])
    numbers = {peer: FAMILIAR.index(peer) if peer in FAMILIAR else next(free) for peer in peers}
    return {peer: (COLOURS[n % len(COLOURS)], SHAPES[n % len(SHAPES)]) for peer, n in numbers.items()}


@dataclass(frozen=True)
class Axis:
    """Powers of two from `low` to `high`."""

    low: int
    high: int

    @classmethod
    def around(cls, ratios: Iterable[Ratio]) -> Axis:
        # By the medians: one bad round must not press all the others together. A spread that leaves the panel
        # ends at its edge.
        medians = [ratio.median for ratio in ratios]
        # At least from a half to two, so that 1 is never at the edge.
        low = min(-1, math.floor(math.log2(max(min(medians), 1 / 64)) - 0.25))
        return cls(low, max(1, math.ceil(math.log2(min(max(medians), 1024)) + 0.25)))

    def place(self, value: float, left: float, right: float) -> float:
        share = (math.log2(max(value, 1e-9)) - self.low) / (self.high - self.low)
        return left + (right - left) * min(max(share, 0), 1)

    def ticks(self) -> list[int]:
        step = 1 if self.high - self.low <= 5 else 2
        return [power for power in range(self.low, self.high + 1) if power % step == 0]


def _span(index: int, count: int) -> tuple[float, float]:
    width = (WIDTH - LABELS - 12 - GAP * (count - 1)) / count
    left = LABELS + index * (width + GAP)
    return left, left + width


def _panel(interpreter: str, left: float, right: float, axis: Axis, top: float, bottom: float) -> list[str]:
    one = axis.place(1, left, right)
    parts = [
        _text((left + right) / 2, top - 8, interpreter, bold=True, middle=True),
        f'<rect x="{left:.1f}" y="{top}" width="{one - left:.1f}" height="{bottom - top}" fill="{LOSING}"/>',
    ]
    for power in axis.ticks():
        x = axis.place(2.0**power, left, right)
        colour, width = (INK, 1.2) if power == 0 else (RULE, 0.7)
        label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
        parts += [
            f'<path d="M{x:.1f} {top}V{bottom}" stroke="{colour}" stroke-width="{width}"/>',
            _text(x, bottom + 15, label, size=10, middle=True),
        ]
    return parts


def _rows(
    rows: Sequence[Row],
    interpreters: Sequence[str],
    axis: Axis,
    styles: Mapping[str, tuple[str, str]],
    top: float,
    *,
    name_ours: bool,
) -> tuple[list[str], float]:
    parts: list[str] = []
    y = top
    for row in rows:
        shown = [peer for peer in styles if any(peer in ratios for ratios in row.ratios.values())]
        height = max(LINE * len(shown) + PAD, LOWEST)
        first = y + (height - LINE * (len(shown) - 1)) / 2
        parts.append(f'<path d="M12 {y}H{WIDTH - 12}" stroke="{RULE}" stroke-width="0.7"/>')
        parts += _label(row.title, y + height / 2, f"1 is {row.ours}" if name_ours else "")
        for index, interpreter in enumerate(interpreters):
            left, right = _span(index, len(interpreters))
            for line, peer in enumerate(shown):
                ratio = row.ratios.get(interpreter, {}).get(peer)
                if ratio:
                    at = first + line * LINE
                    parts.append(_mark(peer, ratio, axis, left, right, at, styles[peer]))
        y += height
    return parts, y


def _label(title: str, middle: float, below: str) -> list[str]:
    """The title of a row, in at most two lines, and what is at 1 there."""
    lines = [""]
    for word in title.split():
        if len(lines[-1]) + len(word) > 40:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    colours = [INK] * len(lines[:2]) + [MUTED] * bool(below)
    first = middle + TEXT / 3 - (len(colours) - 1) * 6.5
    texts = [*lines[:2], below] if below else lines[:2]
    return [
        _text(12, first + 13 * number, text, colour=colour)
        for number, (text, colour) in enumerate(zip(texts, colours, strict=True))
    ]


def _mark(
    peer: str, ratio: Ratio, axis: Axis, left: float, right: float, y: float, style: tuple[str, str]
) -> str:
    colour, shape = style
    low, x, high = (axis.place(value, left, right) for value in (ratio.low, ratio.median, ratio.high))
    hint = f"{peer}: {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    return (
        f'<g fill="{colour}" stroke="{colour}"><title>{escape(hint)}</title>'
        f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke-width="1.6" opacity="0.55"/>{_shape(shape, x, y)}</g>'
    )


def _shape(shape: str, x: float, y: float) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" stroke="none"/>'
    outlines = {
        "square": "m-3 -3h6v6h-6z",
        "diamond": "m0 -4.4l4.4 4.4l-4.4 4.4l-4.4 -4.4z",
        "triangle": "m0 -4.2l4.2 7.4h-8.4z",
        "wedge": "m-4.2 -3.6h8.4l-4.2 7.4z",
    }
    path = f"M{x:.1f} {y:.1f}{outlines[shape]}"
    return f"<path d={quoteattr(path)} stroke='none'/>"


def _legend(styles: Mapping[str, tuple[str, str]], ours: str) -> tuple[list[str], float]:
    """The peers' names, in as many lines as they take, and where what follows can begin."""
    parts: list[str] = []
    x, y = 18.0, 44.0
    for peer, (colour, shape) in styles.items():
        width = 26 + 6.7 * len(peer)
        if x + width > WIDTH:
            x, y = 18.0, y + 18
        parts.append(f'<g fill="{colour}">{_shape(shape, x, y - 4)}</g>')
        parts.append(_text(x + 9, y, peer))
        x += width
    if ours:
        parts.append(_text(x, y, f"1 is {ours}", colour=MUTED))
    return parts, y
