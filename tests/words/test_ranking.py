"""The best pictures of a word file are those of a plain ranking of all pictures, also among equal scores."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.words.file import WordFile, sorted_bytes
from app.words.ranking import FileScores, Mask
from app.words.scoring import Sought

COUNT = 40
TERMS = ("a", "b", "c", "d", "e")
WORDS = (*TERMS, "unknown")

Weights = Mapping[str, Mapping[int, int]]
"""The stored weights of some terms, by place."""


class Case(NamedTuple):
    """Random words in a random file; many scores are equal."""

    weights: Weights
    sought: list[Sought]
    seen: Mask


def case_of(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    scale = rng.choice((1, 60))
    places = {term: np.flatnonzero(rng.random(COUNT) < rng.random()).tolist() for term in TERMS}
    weights = {
        term: {place: int(scale * rng.integers(1, 5)) for place in found} for term, found in places.items() if found
    }
    sought = [
        Sought(
            tuple(
                (str(term), int(rng.integers(1, 7))) for term in rng.choice(WORDS, rng.integers(1, 4), replace=False)
            ),
            is_required=bool(rng.random() < 0.05),
        )
        for _ in range(rng.integers(0, 7))
    ]
    return Case(weights, sought, rng.random(COUNT) < rng.choice((0.5, 1)))


CASES = st.integers(0, 1 << 32).map(case_of)


def file_of_weights(weights: Weights) -> WordFile:
    postings = [sorted(weights[term].items()) for term in sorted(weights)]
    text, term_ends = sorted_bytes(sorted(weights))
    arrays = {
        "terms": text,
        "term_ends": term_ends,
        "posting_ends": np.cumsum([len(each) for each in postings]),
        "places": np.array([place for each in postings for place, _ in each], np.int32),
        "weights": np.array([weight for each in postings for _, weight in each], np.uint8),
    }
    return WordFile(COUNT, arrays)


def scores_of(weights: Weights, word: Sought) -> dict[int, int]:
    """The best of the terms that stand for a word, for each picture that has one of them."""
    scores: dict[int, int] = {}
    for term, unit in word.terms:
        for place, weight in weights.get(term, {}).items():
            scores[place] = max(scores.get(place, 0), unit * weight)
    return scores


def ranked(case: Case) -> list[tuple[int, int]]:
    """Places and scores of all that are found, best first."""
    of_words = [scores_of(case.weights, word) for word in case.sought]
    scores = {place: sum(each.get(place, 0) for each in of_words) for place in range(COUNT)}
    for word, has in zip(case.sought, of_words, strict=True):
        if word.is_required:
            scores = {place: score for place, score in scores.items() if place in has}
    found = [(place, score) for place, score in scores.items() if score and case.seen[place]]
    return sorted(found, key=lambda hit: (-hit[1], hit[0]))


def best_of(scores: FileScores, seen: Mask, k: int) -> list[tuple[int, int]]:
    best = scores.best(scores.narrow(seen), k)
    return list(zip(best.places.tolist(), best.scores.tolist(), strict=True))


@settings(max_examples=500)
@given(CASES, st.integers(0, COUNT), st.integers(1, COUNT + 1), st.sampled_from((0, 1, 8)))
def test_the_best_are_the_first_of_a_plain_ranking(case: Case, k: int, block: int, lookup: int) -> None:
    scores = FileScores(file_of_weights(case.weights), case.sought, block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.words.ranking.LOOKUP", lookup)
        assert best_of(scores, case.seen, k) == sorted(ranked(case)[:k])


@given(CASES, st.lists(st.integers(0, COUNT - 1)))
def test_any_picture_has_the_sum_of_its_words(case: Case, places: list[int]) -> None:
    found = FileScores(file_of_weights(case.weights), case.sought).of(np.array(places, np.int32))
    of_words = [scores_of(case.weights, word) for word in case.sought]
    assert found.tolist() == [sum(each.get(place, 0) for each in of_words) for place in places]


def test_a_file_without_pictures_has_no_best() -> None:
    file = WordFile(0, {"terms": np.empty(0, np.uint8), "term_ends": np.empty(0, np.int64)})
    assert best_of(FileScores(file, [Sought((("a", 1),), is_required=False)]), np.empty(0, bool), 5) == []
