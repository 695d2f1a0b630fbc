"""The benchmark of the relevance over HTTP compares both services round by round, and asks them by turns."""

from collections.abc import Callable

import pytest

from scripts.bench_relevance_http import measure, ratio_of, table
from scripts.bench_service import Way


def way(name: str, clients: int, per_s: list[float], ms: list[list[float]]) -> Way:
    return Way("search", name, clients, lambda _: (0.0, []), per_s, ms)


def test_the_ratio_is_the_median_over_the_rounds() -> None:
    """Of median times with one client, of the time per answer with several."""
    ones = [way("off", 1, [1, 1, 1], [[1, 2, 9], [4], [5]]), way("on", 1, [1, 1, 1], [[3], [4, 4], [10]])]
    many = [way("off", 8, [100, 100, 50], [[1], [1], [1]]), way("on", 8, [50, 80, 50], [[1], [1], [1]])]
    assert ratio_of(*ones) == pytest.approx(1.5)
    assert ratio_of(*many) == pytest.approx(1.25)
    rows = [line.split("|")[-2].strip() for line in table(ones + many).splitlines()[2:]]
    assert rows == ["", "1.500", "", "1.250"]


def test_both_are_asked_by_turns_and_in_both_orders() -> None:
    asked: list[str] = []

    def asking(name: str) -> Callable[[float], tuple[float, list[float]]]:
        def ask(_: float) -> tuple[float, list[float]]:
            asked.append(name)
            return 1.0, [1.0]

        return ask

    measure([Way("search", name, 1, asking(name)) for name in ("off", "on")], rounds=2, seconds=1.0)
    assert asked == ["off", "on", "off", "on", "on", "off"]
