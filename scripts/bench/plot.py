"""Draws lines on logarithmic axes, as an SVG."""

import itertools
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 360, 56, 190, 16, 48
_LINE = 15
_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280")


def draw_lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str) -> str:
    """Series by name, each a list of points with positive x and y. The name is written at the end of the line."""
    points = [point for line in series.values() for point in line]
    x_axis = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    marks = []
    for value in x_axis.decades:
        x = x_axis.place(value)
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#eee"/>')
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:,.0f}</text>')
    for value in y_axis.decades:
        y = y_axis.place(value)
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        marks.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    lines = []
    ends = _apart([y_axis.place(line[-1][1]) for line in series.values()])
    for colour, (name, line), end in zip(_COLOURS, series.items(), ends, strict=False):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        lines.append(f'<text x="{places[-1][0] + 8:.1f}" y="{end + 4:.1f}" fill="{colour}">{name}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>{"".join(marks + lines)}'
        f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">{x_label}</text></svg>\n'
    )


def _apart(heights: Sequence[float]) -> list[float]:
    """The same heights, moved apart so that names do not overlap."""
    placed = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for upper, lower in itertools.pairwise(order):
        placed[lower] = max(placed[lower], placed[upper] + _LINE)
    return placed


class _Axis:
    """An axis from the power of ten below the smallest value to the one above the largest."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low, self._high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self._high = max(self._high, self._low + 1)
        self._start, self._end = start, end

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + (self._end - self._start) * share
