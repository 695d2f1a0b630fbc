"""The table of the benchmark; the measuring itself needs a quiet machine."""

from scripts.bench_generation import table
from scripts.bench_service import Way


def test_the_ratio_is_of_the_medians_over_the_rounds() -> None:
    alone = Way("nothing else", "", 1, lambda seconds: (0.0, []), [100.0, 300.0, 200.0], [[1.0], [5.0], [2.0]])
    beside = Way("while it draws", "", 1, lambda seconds: (0.0, []), [50.0, 60.0, 70.0], [[3.0], [4.0], [9.0]])
    assert table(alone, beside).splitlines()[2:] == [
        "| nothing else | 200 | 2.00 | 2.00 |",
        "| while it draws | 60 | 4.00 | 4.00 |",
        "| ratio | | 2.00 | 2.00 |",
    ]
