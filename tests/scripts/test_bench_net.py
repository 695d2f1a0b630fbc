"""The benchmark of the net reads from file names what the samples show, and counts what is right."""

import pytest

from scripts.bench_net import Asked, rights, things


def test_things_are_read_from_the_names_of_the_samples() -> None:
    found = things()
    assert found["fox"] == {"animals"}
    assert found["sun hat"] == {"clothing"}
    assert len(found) > 100


def test_shares() -> None:
    asked = [
        Asked("stays", should_widen=False, inside=0.6, outside=0.9),
        Asked("leaves wrongly", should_widen=False, inside=0.1, outside=0.9),
        Asked("leaves", should_widen=True, inside=0.1, outside=0.9),
        Asked("is not found", should_widen=True, inside=0.1, outside=0.4),
        Asked("not by much", should_widen=True, inside=0.45, outside=0.55),
    ]
    assert rights(asked, 0.25) == pytest.approx((1 / 2, 1 / 3))
    assert rights(asked, 0.0) == pytest.approx((1 / 2, 2 / 3))
