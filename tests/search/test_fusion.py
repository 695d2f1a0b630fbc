"""One order from two searches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.fusion import fuse_ranks, fuse_scores

SCORES = st.dictionaries(st.integers(0, 20), st.floats(0, 1), max_size=15)


def test_scores_are_added_with_their_weights_over_both_lists() -> None:
    fused = fuse_scores({1: 0.9, 2: 0.5, 3: 0.0}, {2: 1.0, 3: 0.4, 4: 0.8}, relevance_weight=0.6)
    assert fused == [
        (2, pytest.approx(0.6 * 0.5 + 0.4 * 1.0)),
        (1, pytest.approx(0.6 * 0.9)),
        (4, pytest.approx(0.4 * 0.8)),
        (3, pytest.approx(0.4 * 0.4)),
    ]


def test_ranks_are_added_over_both_lists() -> None:
    fused = fuse_ranks([5, 6, 7], [6, 5, 8])
    assert [row for row, _ in fused] == [5, 6, 7, 8]
    assert fused[0][1] == fused[1][1] == pytest.approx((61 / 61 + 61 / 62) / 2)
    assert fuse_ranks([1], [1]) == [(1, 1.0)]


def test_pictures_that_are_called_like_the_query_come_first() -> None:
    fused = fuse_scores({1: 0.9, 2: 0.1, 3: 0.2}, {3: 0.1, 2: 0.5}, named={2, 3, 99})
    assert [row for row, _ in fused] == [2, 3, 1]
    assert [row for row, _ in fuse_ranks([1, 2, 3], [], named={3})] == [3, 1, 2]


@given(SCORES, SCORES, st.floats(0, 1))
def test_every_candidate_is_ranked_once_with_a_score_between_0_and_1(
    relevance: dict[int, float], words: dict[int, float], weight: float
) -> None:
    for fused in (
        fuse_scores(relevance, words, relevance_weight=weight),
        fuse_ranks(list(relevance), list(words), named=[3]),
    ):
        assert sorted(row for row, _ in fused) == sorted(relevance.keys() | words.keys())
        assert all(0 <= score <= 1 for _, score in fused)


@given(SCORES, SCORES)
def test_all_weight_on_one_side_gives_its_order(relevance: dict[int, float], words: dict[int, float]) -> None:
    both = {row: relevance.get(row, 0.0) for row in relevance.keys() | words.keys()}
    assert fuse_scores(relevance, words, relevance_weight=1) == sorted(both.items(), key=lambda hit: (-hit[1], hit[0]))
