"""Lines over time, as SVG: one panel below the other, on a common axis of minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 900
PANEL: Final = 220
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 30
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c")

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
