"""One order of pictures from two searches, one by vectors and one by words.

A convex combination of calibrated scores (Bruch et al., arXiv:2210.11934) uses how good a match is, and not only its
rank. Fusion by ranks needs no calibration. Either way the pictures that are called like the query come first.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

RELEVANCE_WEIGHT: Final = 0.7
"""Of the relevance by vectors, in a convex combination; the words get the rest."""

RANK_OFFSET: Final = 60
"""The usual constant of reciprocal rank fusion: the larger, the less the first ranks matter (Cormack et al., 2009)."""

Ranking = list[tuple[int, float]]
"""Row ids with their scores from 0 to 1, best first; of equal scores the smaller row id. Named pictures come first,
with their own scores."""


def fuse_scores(
    relevance: Mapping[int, float],
    words: Mapping[int, float],
    named: Collection[int] = (),
    *,
    relevance_weight: float = RELEVANCE_WEIGHT,
) -> Ranking:
    """Rank all rows by relevance_weight x relevance + (1 - relevance_weight) x words.

    Both scores lie from 0 to 1. A row without one of them has 0 there, so give both for every candidate.
    """
    scores = {
        row: relevance_weight * relevance.get(row, 0.0) + (1 - relevance_weight) * words.get(row, 0.0)
        for row in relevance.keys() | words.keys()
    }
    return _ranked(scores, named)


def fuse_ranks(by_vectors: Sequence[int], by_words: Sequence[int], named: Collection[int] = ()) -> Ranking:
    """Rank all rows by the sum of 1 / (60 + rank) over both lists. A row that is first in both has 1."""
    scores: dict[int, float] = {}
    for ranking in (by_vectors, by_words):
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, 0.0) + (RANK_OFFSET + 1) / 2 / (RANK_OFFSET + rank)
    return _ranked(scores, named)


def _ranked(scores: Mapping[int, float], named: Collection[int]) -> Ranking:
    return sorted(scores.items(), key=lambda hit: (hit[0] not in named, -hit[1], hit[0]))
