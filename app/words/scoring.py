"""Scores of all pictures for the words of a query: in the word file as arrays, in the overlay row by row."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.types import Ids
from app.words.expansion import FORM, Standing
from app.words.file import STEPS, Places, WordFile
from app.words.overlay import Overlay
from app.words.query import WordQuery

MOST_SCORED: Final = 16
"""Words of a query that are scored: the rarest ones. Commoner words hardly change the order, and would take long."""

MOST_FOR_BOUND: Final = 200_000
"""Postings that are looked at to find out which scores are too low."""

_STEP: Final = 16_384

Mask = NDArray[np.bool_]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sought:
    """A word of a query, and what stands for it in the library."""

    terms: tuple[tuple[str, float], ...]
    """Each with the score of a picture of the greatest weight. The best one of a picture counts."""
    is_required: bool


def seek(query: WordQuery, count: int, expansions: Callable[[str], dict[str, Standing]]) -> list[Sought]:
    """The words of the query that pictures have, with their shares of the score; all shares together are at most 1.

    `count` is the number of pictures. The share of a word is its idf, so rare words count most.
    """
    found = [(word, expansions(word.text)) for word in query.words]
    idfs = [_idf(_pictures(terms), count) for _, terms in found]
    total = sum(idfs)
    known = [(idf / total, word, terms) for idf, (word, terms) in zip(idfs, found, strict=True)]
    known = [one for one in known if one[2] or one[1].is_required]
    rarest = sorted(known, key=lambda one: (not one[1].is_required, -one[0]))[:MOST_SCORED]
    return [Sought(_shares(terms, share), word.is_required) for share, word, terms in rarest]


def _pictures(terms: Mapping[str, Standing]) -> int:
    """How many pictures have a word: as many as its most common form, or else as the most common term for it."""
    forms = [term.pictures for term in terms.values() if term.counts >= FORM]
    return max(forms or [term.pictures for term in terms.values()], default=0)


def _shares(terms: Mapping[str, Standing], share: float) -> tuple[tuple[str, float], ...]:
    return tuple((term, share * standing.counts) for term, standing in terms.items())


class FileScores:
    """The scores of the pictures of a word file for one query."""

    def __init__(self, file: WordFile, sought: Sequence[Sought]) -> None:
        self._words = [_pictures_of(file, word) for word in sought]
        self._count = file.count
        self._required = [found.places for found, word in zip(self._words, sought, strict=True) if word.is_required]

    @cached_property
    def all(self) -> Scores:
        """(N,) 0 for a picture that has none of the words."""
        scores = np.zeros(self._count, np.float32)
        for places, of_word in self._words:
            scores[places] += of_word
        return scores

    def narrow(self, seen: Mask) -> Mask:
        """(N,) those of `seen` that have all required words."""
        for places in self._required:
            has = np.zeros(self._count, bool)
            has[places] = True
            seen = seen & has
        return seen

    def best(self, seen: Mask, k: int) -> tuple[Ids, Scores, int]:
        """The places of the k best among those `seen` and their scores, in no order, and how many have a score at all.

        Of equal scores the first places are taken.
        """
        if len(self._words) == 1:  # the usual query, for which no array of all pictures is needed
            ((places, scores),) = self._words
            places, scores = places[seen[places]], scores[seen[places]]
            chosen = _best(scores, k)
            return places[chosen].astype(np.int64), scores[chosen], len(places)
        matching = (self.all > 0) & seen
        total = int(np.count_nonzero(matching))
        chosen = self._best_of_all(matching, min(k, total))
        return chosen, self.all[chosen], total

    def _best_of_all(self, matching: Mask, k: int) -> Ids:
        """The places of the k best of those `matching`. Only scores above a bound that k pictures reach are sorted."""
        bound = self._lower_bound(matching, k)
        above = np.flatnonzero(matching & (self.all > bound))
        if len(above) >= k:
            return above[_best(self.all[above], k)]
        return np.concatenate([above, _first(matching & (self.all == bound), k - len(above))])

    def _lower_bound(self, matching: Mask, k: int) -> np.float32:
        """A score that at least k pictures reach, if it is not 0: that of the kth best picture of a word."""
        bound, looked_at = np.float32(0), 0
        for places, _ in sorted(self._words, key=lambda found: len(found.places)):
            looked_at += len(places)
            if 0 < k <= len(places) and (looked_at <= MOST_FOR_BOUND or not bound):
                scores = np.where(matching[places], self.all[places], 0)
                bound = max(bound, np.partition(scores, len(scores) - k)[len(scores) - k])
        return bound


def score_overlay(overlay: Overlay, sought: Sequence[Sought]) -> dict[int, float]:
    """The score of each added picture that has any of the words, and all required ones, by row id."""
    scores: dict[int, float] = {}
    lacking: set[int] = set()
    for word in sought:
        best: dict[int, float] = {}
        for term, share in word.terms:
            for row, weight in overlay.find(term).items():
                best[row] = max(best.get(row, 0.0), share * weight / STEPS)
        if word.is_required:
            lacking.update(overlay.folders.keys() - best.keys())
        for row, score in best.items():
            scores[row] = scores.get(row, 0.0) + score
    return {row: score for row, score in scores.items() if row not in lacking}


def _idf(pictures: int, count: int) -> float:
    """BM25's, which is never negative."""
    return math.log1p((max(count, pictures) - pictures + 0.5) / (pictures + 0.5))


class _Found(NamedTuple):
    """The pictures of one word."""

    places: Places
    """Rising, each once."""
    scores: Scores


def _pictures_of(file: WordFile, word: Sought) -> _Found:
    """Each picture with the best of the terms that stand for the word."""
    found = [
        _Found(postings.places, postings.weights * np.float32(share / STEPS))
        for term, share in word.terms
        if (postings := file.find(term))
    ]
    if not found:
        return _Found(np.empty(0, np.int32), np.empty(0, np.float32))
    longest = max(range(len(found)), key=lambda number: len(found[number].places))
    main = found.pop(longest)
    return _joined(main, _merged(found)) if found else main


def _merged(lists: Sequence[_Found]) -> _Found:
    """One list of several, with the best score of each place."""
    places = np.concatenate([each.places for each in lists])
    order = np.argsort(places, kind="stable")
    places = places[order]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    scores = np.concatenate([each.scores for each in lists])[order]
    return _Found(places[starts], np.maximum.reduceat(scores, starts) if len(starts) else scores)


def _joined(main: _Found, other: _Found) -> _Found:
    """As `_merged`, faster where `other` is short."""
    spots = np.searchsorted(main.places, other.places)
    is_known = main.places[np.minimum(spots, len(main.places) - 1)] == other.places
    known = spots[is_known]
    main.scores[known] = np.maximum(main.scores[known], other.scores[is_known])
    if is_known.all():
        return main
    new = spots[~is_known]
    return _Found(
        np.insert(main.places, new, other.places[~is_known]), np.insert(main.scores, new, other.scores[~is_known])
    )


def _best(scores: Scores, k: int) -> Ids:
    """Where the k best scores are; the first of equal ones."""
    if len(scores) <= k or k == 0:
        return np.arange(min(k, len(scores)))
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > least)
    return np.concatenate([above, _first(scores == least, k - len(above))])


def _first(mask: Mask, count: int) -> Ids:
    """The first places that are true, up to `count`."""
    found: list[Ids] = [np.empty(0, np.int64)]
    for start in range(0, len(mask), _STEP):
        if count <= 0:
            break
        found.append(np.flatnonzero(mask[start : start + _STEP])[:count] + start)
        count -= len(found[-1])
    return np.concatenate(found)
