"""The chart is an SVG whose lines rise where numbers do."""

import re
from xml.etree import ElementTree

from scripts.bench.plot import draw_lines


def test_lines_are_placed_by_decades_and_their_names_do_not_overlap() -> None:
    chart = draw_lines({"a, s": [(1000, 1), (10_000, 10)], "b, ms": [(1000, 9), (10_000, 9.5)]}, "pictures")
    ElementTree.fromstring(chart)
    first, second = re.findall(r'polyline points="([^"]+)"', chart)
    (_, low), (right, high) = (tuple(map(float, point.split(","))) for point in first.split())
    middle = float(second.split()[0].split(",")[1])
    assert high < middle < low, "y grows downwards"
    names = {name: float(y) for y, name in re.findall(r'y="([\d.]+)" fill="#\w+">([^<]+)</text>', chart)}
    assert names.keys() == {"a, s", "b, ms"}
    assert abs(names["a, s"] - names["b, ms"]) >= 15
    assert {"1,000", "10,000", "pictures"} <= set(re.findall(r">([^<>]+)</text>", chart))
    assert right > 0
