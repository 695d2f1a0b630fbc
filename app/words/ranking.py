"""The best pictures of a word file for a query: the same as if all were scored, though most are not.

The places are read in blocks. Once k pictures are known, one of a later block has to beat the worst of them. So the
words are added up in a block from the one that can add most, until those that are left cannot lift a picture above that
score by themselves. When they can still lift only few pictures, they are looked up for these alone (MaxScore: Turtle
and Flood, 1995; with bounds for blocks: Ding and Suel, 2011).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.words.file import Places, WordFile
from app.words.scoring import Sought

BLOCK: Final = 65_536
"""Places of which the scores, 256 kB, stay in the cache of a core."""

LOOKUP: Final = 16
"""To look a picture up takes as long as to add up this many postings."""

Mask = NDArray[np.bool_]
Scores = NDArray[np.int32]
"""As in `scoring`: whole numbers."""


class Best(NamedTuple):
    """Pictures and their scores, by rising places."""

    places: Places
    scores: Scores


class FileScores:
    """The scores of the pictures of a word file for one query."""

    def __init__(self, file: WordFile, sought: Sequence[Sought], block: int = BLOCK) -> None:
        self._count = file.count
        self._edges = [*range(0, file.count, block), file.count]
        self._words = [_Word(file, word, self._edges) for word in sought]

    def narrow(self, seen: Mask) -> Mask:
        """(N,) those of `seen` that have all required words."""
        for word in self._words:
            if word.is_required:
                seen = seen & word.mask(self._count)
        return seen

    def of(self, places: Places) -> Scores:
        """(M,) the scores of the pictures at `places`; 0 for one that has none of the words."""
        scores = np.zeros(len(places), np.int32)
        for word in self._words:
            scores += word.of(places)
        return scores

    def best(self, seen: Mask, k: int) -> Best:
        """The k best among those `seen` that have a score. Of equal scores the first places are taken."""
        found, count, least = [Best(np.empty(0, np.int32), np.empty(0, np.int32))], 0, 0
        for block in range(len(self._edges) - 1 if k else 0):
            if sum(word.bounds[block] for word in self._words) <= least:
                continue
            found.append(self._above(least, block, seen))
            count += len(found[-1].places)
            if count >= k:
                found = [_best(_joined(found), k)]
                count, least = k, int(found[0].scores.min())
        return _joined(found)

    def _above(self, least: int, block: int, seen: Mask) -> Best:
        """The pictures of a block with a score above `least`, among those `seen`."""
        words = sorted((word for word in self._words if word.bounds[block]), key=lambda word: -word.bounds[block])
        left = sum(word.bounds[block] for word in words)
        first, last = self._edges[block : block + 2]
        scores = np.zeros(last - first, np.int32)
        can_be = np.zeros(last - first, bool)
        while words and (left > least or LOOKUP * np.count_nonzero(can_be) > words[0].count(block)):
            word = words.pop(0)
            word.add_to(scores, block)
            left -= word.bounds[block]
            can_be = (scores > least - left) & seen[first:last]
        chosen = np.flatnonzero(can_be)
        found = Best((chosen + first).astype(np.int32), scores[chosen])
        for word in words:
            left -= word.bounds[block]
            sums = found.scores + word.of(found.places)
            is_above = sums > least - left
            found = Best(found.places[is_above], sums[is_above])
        return found


class _Word:
    """The pictures that have a word of the query, as one of the terms that stand for it."""

    def __init__(self, file: WordFile, word: Sought, edges: Sequence[int]) -> None:
        """Blocks of places lie between `edges`."""
        self.is_required = word.is_required
        terms = [_List(*postings, unit) for term, unit in word.terms if (postings := file.find(term))]
        terms.sort(key=lambda each: -len(each.places))
        self._lists = terms if len(terms) < 2 else [terms[0], _merged(terms[1:])]
        """At most two. The better score of a picture counts."""
        self._edges = edges
        self._ends = [np.searchsorted(each.places, np.array(edges, np.int32)).tolist() for each in self._lists]
        bounds = [each.greatest(ends) for each, ends in zip(self._lists, self._ends, strict=True)]
        self.bounds = [max(of_block) for of_block in zip([0] * (len(edges) - 1), *bounds, strict=True)]
        """For each block the greatest score of a picture, or 0."""

    def count(self, block: int) -> int:
        """How many postings a block has."""
        return sum(ends[block + 1] - ends[block] for ends in self._ends)

    def mask(self, count: int) -> Mask:
        """(N,) which pictures have the word."""
        has = np.zeros(count, bool)
        for each in self._lists:
            has[each.places] = True
        return has

    def of(self, places: Places) -> Scores:
        """(M,) the scores of the pictures at `places`, 0 for one without the word."""
        scores = np.zeros(len(places), np.int32)
        for each in self._lists:
            np.maximum(scores, each.of(places), out=scores)
        return scores

    def add_to(self, scores: Scores, block: int) -> None:
        """Add the word's scores in a block to `scores`, the sums of other words."""
        parts = [
            each.part(*ends[block : block + 2])
            for each, ends in zip(self._lists, self._ends, strict=True)
            if ends[block] < ends[block + 1]
        ]
        added = [(np.subtract(part.places, self._edges[block], dtype=np.int64), part.scores) for part in parts]
        (places, values), *others = added
        befores = [scores[other] for other, _ in others]
        scores[places] += values
        for (other, better), before in zip(others, befores, strict=True):
            scores[other] = np.maximum(scores[other], before + better)


class _List(NamedTuple):
    """The pictures of one term, or of several with the best score of each."""

    places: Places
    weights: NDArray[np.integer[Any]]
    unit: int
    """The score of a weight of 1."""

    @property
    def scores(self) -> Scores:
        scores: Scores = np.multiply(self.weights, self.unit, dtype=np.int32)
        return scores

    def part(self, first: int, last: int) -> "_List":
        return _List(self.places[first:last], self.weights[first:last], self.unit)

    def of(self, places: Places) -> Scores:
        """(M,) the scores of the pictures at `places`, 0 for one that is not here."""
        spots = np.minimum(np.searchsorted(self.places, places), len(self.places) - 1)
        scores: Scores = np.multiply(self.weights[spots], self.unit, dtype=np.int32)
        scores *= self.places[spots] == places
        return scores

    def greatest(self, ends: Sequence[int]) -> list[int]:
        """The greatest score of each part between two of `ends`, 0 for an empty one."""
        spans = np.array(ends)
        bounds = np.zeros(len(spans) - 1, np.int64)
        filled = np.flatnonzero(np.diff(spans))
        if len(filled):
            bounds[filled] = np.maximum.reduceat(self.weights, spans[filled])
        return (bounds * self.unit).tolist()


def _merged(lists: Sequence[_List]) -> _List:
    """One list of several, with the best score of each place."""
    joined = _joined([Best(each.places, each.scores) for each in lists])
    order = np.argsort(joined.places, kind="stable")
    places = joined.places[order]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    return _List(places[starts], np.maximum.reduceat(joined.scores[order], starts), 1)


def _joined(parts: Sequence[Best]) -> Best:
    return Best(np.concatenate([part.places for part in parts]), np.concatenate([part.scores for part in parts]))


def _best(found: Best, k: int) -> Best:
    """The k best; the first of equal ones."""
    if len(found.scores) <= k:
        return found
    least = np.partition(found.scores, len(found.scores) - k)[len(found.scores) - k]
    above = np.flatnonzero(found.scores > least)
    equal = np.flatnonzero(found.scores == least)[: k - len(above)]
    chosen = np.sort(np.concatenate([above, equal]))
    return Best(found.places[chosen], found.scores[chosen])
