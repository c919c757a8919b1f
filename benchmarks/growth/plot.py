"""The measured cost as an SVG picture: logarithmic axes, a line for each operation."""

import math
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP = 460, 300, 70
LEFT, TOP, RIGHT, BOTTOM = 60, 40, 120, 50
COLOURS = ["#1b6ca8", "#c0392b", "#27864a", "#8e5ea2", "#b7791f", "#555555"]
Series = Mapping[str, Mapping[str, float]]


def plot(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The picture: a row for each database, history at the left, jobs in flight at the right."""
    panels = []
    for row, (database, result) in enumerate(found.items()):
        for column, (key, label) in enumerate(
            [("history", "finished jobs"), ("in_flight", "unfinished jobs")]
        ):
            x, y = column * (WIDTH + GAP), row * HEIGHT
            inner = panel(f"{database}: ms against {label}", result[key])
            panels.append(f'<g transform="translate({x} {y})">{inner}</g>')
    width, height = 2 * WIDTH + GAP, HEIGHT * len(found)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(panels)}</svg>\n"
    )


def panel(title: str, series: Series) -> str:
    """One diagram. Its points are sizes, its lines operations."""
    sizes = [int(size) for size in series]
    lines = {name: [row[name] for row in series.values()] for name in next(iter(series.values()))}
    values = [value for line in lines.values() for value in line]
    across = _scale(sizes, LEFT, WIDTH - RIGHT)
    up = _scale(values, HEIGHT - BOTTOM, TOP)
    parts = [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(title)}</text>']
    for size in _decades(sizes):
        parts.append(_line(across(size), HEIGHT - BOTTOM, across(size), TOP))
        parts.append(_text(across(size), HEIGHT - BOTTOM + 18, f"{size:,.0f}", "middle"))
    for value in _decades(values):
        parts.append(_line(LEFT, up(value), WIDTH - RIGHT, up(value)))
        parts.append(_text(LEFT - 6, up(value) + 4, f"{value:g}", "end"))
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        points = " ".join(
            f"{across(size):.1f},{up(value):.1f}" for size, value in zip(sizes, line, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(_text(across(sizes[-1]) + 8, up(line[-1]) + 4, name, "start", colour))
    return "".join(parts)


def _scale(values: list[Any], start: float, end: float) -> Any:
    """From a value to a coordinate, whole decades from start to end."""
    marks = _decades(values)
    low, high = math.log10(marks[0]), math.log10(marks[-1])
    return lambda value: start + (end - start) * (math.log10(value) - low) / (high - low)


def _decades(values: list[Any]) -> list[float]:
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    return [10.0**power for power in range(low, high + 1)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
