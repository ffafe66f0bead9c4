"""Pictures as SVG: lines over time, one panel below the other on a common axis of minutes; and groups of bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 900
PANEL: Final = 220
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 30
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share a unit, by their names. `bound`: a dashed line, where there is something to stay below."""

    title: str
    lines: Mapping[str, Points]
    from_zero: bool = True
    bound: float | None = None


def svg(title: str, panels: Sequence[Panel]) -> str:
    """The picture."""
    height = TOP + len(panels) * (PANEL + TOP + BOTTOM)
    end = max((x for panel in panels for points in panel.lines.values() for x, _ in points), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-size="12">',
        f'<style>text {{ font-family: sans-serif }}</style><rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + TOP + BOTTOM) + TOP, end)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float, end: float) -> list[str]:
    values = [y for points in panel.lines.values() for _, y in points] + [panel.bound or 0] * bool(panel.bound)
    low = 0.0 if panel.from_zero else min(values, default=0.0)
    high = max(values, default=1.0)
    low, high = (low, high) if high > low else (low - 1, low + 1)
    margin = (high - low) * 0.08
    low, high = (0.0 if panel.from_zero else low - margin), high + margin

    def x(minute: float) -> float:
        return round(LEFT + minute / end * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(top + PANEL - (value - low) / (high - low) * PANEL, 1)

    parts = [f'<text x="{LEFT}" y="{top - 10}">{escape(panel.title)}</text>']
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(f'<line x1="{LEFT}" y1="{y(value)}" x2="{WIDTH - RIGHT}" y2="{y(value)}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.4g}</text>')
        minute = end * step / 4
        parts.append(f'<text x="{x(minute)}" y="{top + PANEL + 18}" text-anchor="middle">{minute:.3g} min</text>')
    if panel.bound is not None:
        at = y(panel.bound)
        parts.append(
            f'<line x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}" stroke="#888" stroke-dasharray="6 4"/>'
        )
    for number, (name, points) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(minute)},{y(value)}" for minute, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT - 160 * number}" y="{top - 10}" text-anchor="end" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return parts


STEPS: Final = 4  # of the scale of bars


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, and the limit that it is drawn before."""

    name: str
    value: float
    limit: float


def bars(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Groups of bars side by side, on one scale; a colour for each name."""
    names = dict.fromkeys(bar.name for group in groups.values() for bar in group)
    step = _even(max((max(bar.value, bar.limit) for group in groups.values() for bar in group), default=1.0) / STEPS)
    high = STEPS * step
    top, bottom = 2 * TOP, 2 * TOP + PANEL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + BOTTOM}" font-size="12">',
        "<style>text { font-family: sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{bottom + BOTTOM}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>',
    ]
    for number, name in enumerate(names):
        x, colour = LEFT + 190 * number, COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="{TOP + 2}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="{TOP + 12}">{escape(name)}</text>')

    def y(value: float) -> float:
        return round(bottom - value / high * PANEL, 1)

    for mark in range(STEPS + 1):
        value = mark * step
        parts.append(f'<line x1="{LEFT}" y1="{y(value)}" x2="{WIDTH - RIGHT}" y2="{y(value)}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:,.0f}</text>')
    room = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    for place, (heading, group) in enumerate(groups.items()):
        left, width = LEFT + place * room + 0.1 * room, 0.8 * room / max(1, len(group))
        parts.append(
            f'<text x="{left + 0.4 * room:.1f}" y="{top + PANEL + 18}" text-anchor="middle">{escape(heading)}</text>'
        )
        for number, bar in enumerate(group):
            colour = COLOURS[list(names).index(bar.name) % len(COLOURS)]
            for value, more in ((bar.limit, ' fill-opacity="0.25"'), (bar.value, "")):
                parts.append(
                    f'<rect x="{left + number * width:.1f}" y="{y(value)}" width="{0.85 * width:.1f}"'
                    f' height="{bottom - y(value):.1f}" fill="{colour}"{more}/>'
                )
            parts.append(
                f'<text x="{left + (number + 0.42) * width:.1f}" y="{y(bar.value) - 3}" text-anchor="middle"'
                f' font-size="10">{bar.value / 1000:.0f}k</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _even(value: float) -> float:
    """The next number above that begins with 1, 2 or 5 and goes on with noughts."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= value)
