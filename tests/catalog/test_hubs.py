"""Hubs: a picture that is near to every caption stands in the way of the others."""

from collections.abc import Sequence

import numpy as np

from app.catalog.hubs import LEAST_CAPTIONS, RANKED_TOGETHER, Examination, depth_of, examine, rank
from app.models.bank import Bank
from app.types import Vectors
from tests.support.hubs import BANK, CAPTIONS, COUNT, PICTURES

ROWS = np.arange(COUNT)


def nearest_rows(queries: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    scores = queries @ PICTURES.T
    return [[(row, float(line[row])) for row in np.argsort(-line)[:k].tolist()] for line in scores]


def test_the_correction_is_taken_where_captions_find_their_pictures_better() -> None:
    found = examine(CAPTIONS, ROWS, BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.corrected[0] > found.plain[0] + 0.02
    assert found.gains


def test_too_few_captions_decide_nothing() -> None:
    few = LEAST_CAPTIONS - 1
    found = examine(CAPTIONS[:few], ROWS[:few], BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.captions == few
    assert not found.gains


def test_without_hubs_nothing_is_gained() -> None:
    """Every caption is its picture: each finds it already."""
    found = examine(PICTURES, ROWS, BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.plain == (1.0, 1.0)
    assert not found.gains


class Measured(Bank):
    """Takes the second number of each vector for what it has measured."""

    def measure(self, pictures: Vectors) -> np.ndarray:
        return pictures


def examined(better: int, worse: int, count: int = 200) -> Examination:
    """Of captions of which some find their pictures first only with fewer hubs, and some only without."""
    rows = np.arange(0, 2 * count, 2)
    own_first = np.arange(count) >= better
    is_hub = (np.arange(count) >= better) & (np.arange(count) < better + worse)
    hits = [
        [(row, 0.5), (row + 1, 0.49)] if first else [(row + 1, 0.5), (row, 0.49)]
        for row, first in zip(rows.tolist(), own_first.tolist(), strict=True)
    ]
    near = np.full(2 * count, 0.2)
    near[1::2][~own_first] = 0.4
    near[::2][is_hub] = 0.4

    def vectors_of(wanted: Sequence[int]) -> np.ndarray:
        return np.stack([near[list(wanted)]] * 2, axis=1)

    return examine(np.zeros((count, 2), np.float32), rows, Measured(PICTURES), lambda _, k: hits, vectors_of)


def test_a_gain_has_to_be_large_enough_and_sure() -> None:
    assert examined(6, 0).gains
    assert not examined(2, 0).gains
    assert not examined(0, 6).gains
    many = examined(26, 20)
    assert many.corrected[0] > many.plain[0] + 0.02
    assert not many.gains


def test_a_hub_has_more_taken_off() -> None:
    assert rank([0.5, 0.48], [0.4, 0.2]) == [(1, 0.38), (0, 0.3)]


def test_equal_scores_stay_in_order() -> None:
    assert [place for place, _ in rank([0.5, 0.4, 0.3], [0.4, 0.2, 0.0])] == [0, 1, 2]


def test_the_rank_of_a_picture_does_not_depend_on_how_many_are_asked_for() -> None:
    rng = np.random.default_rng(2)
    scores, near = np.sort(rng.random(1000))[::-1].tolist(), rng.random(1000).tolist()
    whole = rank(scores, near)
    for count in (1, 99, 100, 101, 500):
        depth = depth_of(count)
        assert depth >= count
        assert rank(scores[:depth], near[:depth])[:count] == whole[:count]
    assert {place for place, _ in whole[:RANKED_TOGETHER]} == set(range(RANKED_TOGETHER))
