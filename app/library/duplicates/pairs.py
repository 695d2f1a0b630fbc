"""Pairs of pictures that are the same photo, of one burst, or similar: from perceptual hashes, vectors and times.

Candidates come from `candidates.py`. A pair is the same photo where hash and vector agree: the
further apart the hashes, the nearer must the vectors be. How near is no fixed cosine, because models differ: it is
the cosine that a share of unrelated pairs of this library stays below (`Levels`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.library.duplicates.candidates import (
    TURNED_BITS,
    Floats,
    Places,
    half_of_the_cores,
    near_hashes,
    near_times,
    near_vectors,
    no_places,
    runs_of,
    united,
)
from app.pictures.perceptual import PARTS, SIDE, Bits, Hashes, Mask, bits_between, says_something, turned
from app.types import Ids, Vectors

Scores = NDArray[np.float32]

STEPS: Final = ((12, 0.1), (24, 0.5), (40, 0.99), (72, 0.9999))
"""(bits apart, share of unrelated pairs that must be less alike by their vectors) for the same photo.

Chosen on clothing on hangers, whose hashes are the nearest of different photos that we know: 54 bits and more
(`scripts/bench_duplicates.py`)."""

BURST_SHARE: Final = 0.99
"""Of unrelated pairs, less alike than two shots of a burst."""

CHANCE_PAIRS: Final = 100
"""Twice this many pictures have one similar pair by chance, about."""

_SAMPLE: Final = 1500
"""Pictures whose pairs stand for all unrelated pairs."""

_ROWS: Final = 256
"""Rows of all pairs of the sample that are compared together: they bound the memory."""

_CANDIDATES: Final = 65_536
"""Candidates looked at together: they bound the memory."""


class Relation(IntEnum):
    """What two pictures are to each other, the closest first."""

    PHOTO = 1
    BURST = 2
    SIMILAR = 3


@dataclass(frozen=True, eq=False)
class Pictures:
    """(N,) each: what is compared."""

    rows: Ids
    hashes: Hashes
    taken_at: Floats
    """NaN where it is not known."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """(M,) each: no pair twice."""

    first: Ids
    """Row ids."""
    second: Ids
    relations: NDArray[np.uint8]
    scores: Scores
    """Cosines."""
    turns: NDArray[np.uint8]
    """Which of `turned` of the first is the second; 0 for the same way up."""

    def where(self, keep: Mask) -> "Pairs":
        return Pairs(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def joined(self, other: "Pairs") -> "Pairs":
        return Pairs(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__)
        )


@dataclass(frozen=True)
class Levels:
    """Cosines above which pairs of this library are alike."""

    photo: tuple[float, ...]
    """One for each of STEPS."""
    burst: float
    similar: float

    @property
    def near(self) -> float:
        """Pairs of vectors below it are only looked at where their hashes or times are near."""
        return min(self.similar, self.photo[-1])


ReadVectors = Callable[[Sequence[int]], Vectors]
"""The vectors of row ids, in that order."""


def calibrate(pictures: Pictures, read: ReadVectors) -> Levels:
    """The levels of a library, from the cosines of pairs whose hashes are far apart."""
    count = len(pictures.rows)
    chosen = np.random.default_rng(3).permutation(count)[:_SAMPLE]
    vectors, whole = read(pictures.rows[chosen].tolist()), pictures.hashes[chosen, 0]
    unrelated = np.triu(np.ones((len(chosen), len(chosen)), bool), 1)
    for start in range(0, len(chosen), _ROWS):
        block = slice(start, start + _ROWS)
        unrelated[block] &= bits_between(whole[block, None], whole[None]) > STEPS[-1][0]
    unrelated[near_hashes(pictures.hashes[chosen])] = False
    cosines = np.sort((vectors @ vectors.T)[unrelated])
    shares = [share for _, share in STEPS]
    return Levels(
        tuple(_level(cosines, share) for share in shares),
        _level(cosines, BURST_SHARE),
        _level(cosines, 1 - 1 / (CHANCE_PAIRS * max(count, 1))),
    )


@dataclass(frozen=True)
class Comparer:
    """Compares pictures of one library."""

    read: ReadVectors
    levels: Levels
    burst_s: float
    """The longest pause between two shots of a burst, seconds."""

    def all_pairs(self, pictures: Pictures) -> Pairs:
        vectors = self.read(pictures.rows.tolist())
        with half_of_the_cores():
            near = near_vectors(vectors, self.levels.near)
            candidates = [near_hashes(pictures.hashes), near_times(pictures.taken_at, self.burst_s), near]
        return self._related(pictures, united(candidates, len(pictures.rows)), lambda places: vectors[places])

    def pairs_with(self, new: Mask, pictures: Pictures, near: Places) -> Pairs:
        """The pairs that have a `new` picture in them. `near` are those of near vectors."""
        candidates = [near_hashes(pictures.hashes, new), near_times(pictures.taken_at, self.burst_s, new), near]
        places = united(candidates, len(pictures.rows))
        return self._related(pictures, places, lambda places: self.read(pictures.rows[places].tolist()))

    def _related(self, pictures: Pictures, places: Places, vectors_at: Callable[[Ids], Vectors]) -> Pairs:
        """The pairs among the candidates that are related."""
        runs = runs_of(pictures.taken_at, self.burst_s)
        found = _no_pairs()
        for start in range(0, len(places[0]), _CANDIDATES):
            first, second = (side[start : start + _CANDIDATES] for side in places)
            found = found.joined(self._judged(pictures, runs, (first, second), _cosines((first, second), vectors_at)))
        return found

    def _judged(self, pictures: Pictures, runs: Ids, places: Places, scores: Scores) -> Pairs:
        first, second = places
        straight, around, turns = _distances(pictures.hashes, places)
        same = np.zeros(len(first), bool)
        for (bits, _), level in zip(STEPS, self.levels.photo, strict=True):
            is_near = (straight <= bits) | ((around <= bits) & (bits <= TURNED_BITS))
            same |= is_near & (scores >= level)
        burst = (runs[first] == runs[second]) & (runs[first] >= 0) & (scores >= self.levels.burst)
        kinds = [same, burst, scores >= self.levels.similar]
        relations = np.select(kinds, [Relation.PHOTO, Relation.BURST, Relation.SIMILAR], 0).astype(np.uint8)
        turned_by = np.where(same & (around < straight), turns, 0).astype(np.uint8)
        pairs = Pairs(pictures.rows[first], pictures.rows[second], relations, scores, turned_by)
        return pairs.where(relations > 0)


def _no_pairs() -> Pairs:
    return Pairs(*no_places(), np.empty(0, np.uint8), np.empty(0, np.float32), np.empty(0, np.uint8))


def _level(cosines: NDArray[Any], share: float) -> float:
    """The cosine that this share of `cosines` (sorted) stays below.

    Beyond what their number shows, the tail is taken to fall as fast as in its last decade, at most half-way to 1.
    """
    count, rest = len(cosines), 1 - share
    if count < 4:  # nothing is known of unrelated pairs: equal hashes alone count
        return -1.0 if share <= 0.5 else 2.0
    seen = min(0.1, 10 / count)
    if rest >= seen:
        return float(np.quantile(cosines, share))
    wider = min(0.5, 10 * seen)
    last, before = np.quantile(cosines, [1 - seen, 1 - wider]).tolist()
    slope = (last - before) / np.log10(wider / seen)
    return float(min(last + slope * np.log10(seen / rest), (1 + last) / 2))


def _cosines(places: Places, vectors_at: Callable[[Ids], Vectors]) -> Scores:
    used, where = np.unique(np.concatenate(places), return_inverse=True)
    vectors = vectors_at(used)
    first, second = where[: len(places[0])], where[len(places[0]) :]
    scores: Scores = np.einsum("nd,nd->n", vectors[first], vectors[second])
    return scores


def _distances(hashes: Hashes, places: Places) -> tuple[Bits, Bits, Bits]:
    """Of each pair: the bits between the nearest parts, those between the wholes where the first is turned, and how.

    Where a hash says nothing, all bits differ.
    """
    first, second = places
    says = says_something(hashes)
    straight = around = np.full(len(first), SIDE * SIDE)
    turns = np.zeros(len(first), np.int64)
    for one in range(PARTS):
        for other in range(PARTS):
            straight = np.minimum(straight, bits_between(hashes[first, one], hashes[second, other]))
    used, where = np.unique(first, return_inverse=True)
    for turn, each in enumerate(turned(hashes[used, 0])[1:], 1):
        bits = bits_between(each[where], hashes[second, 0])
        turns = np.where(bits < around, turn, turns)
        around = np.minimum(around, bits)
    blank = ~(says[first] & says[second])
    return np.where(blank, SIDE * SIDE, straight), np.where(blank, SIDE * SIDE, around), turns
