"""Pairs of pictures that are the same photo, of one burst, or similar: from perceptual hashes, vectors and times.

Candidates come from near hashes, near vectors and near times. A pair is the same photo where hash and vector agree: the
further apart the hashes, the nearer must the vectors be. How near is no fixed cosine, because models differ: it is
the cosine that a share of unrelated pairs of this library stays below (`Levels`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from app.pictures.perceptual import PART_BYTES, PARTS, SIDE, Hashes, turned
from app.types import Ids, Vectors

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
Bits = NDArray[np.int64]

TURNED_BITS: Final = 24
"""A flipped or turned copy's hash is this near to the one that is derived for it, of 256."""

STRAIGHT_BITS: Final = 40
"""Pairs up to this are found by their hashes alone; those of the last step by their vectors."""

STEPS: Final = ((12, 0.1), (24, 0.5), (40, 0.99), (72, 0.9999))
"""(bits apart, share of unrelated pairs that must be less alike by their vectors) for the same photo.

Chosen on clothing on hangers, whose hashes are the nearest of different photos that we know: 54 bits and more
(`scripts/bench_duplicates.py`)."""

BURST_SHARE: Final = 0.99
"""Of unrelated pairs, less alike than two shots of a burst."""

CHANCE_PAIRS: Final = 100
"""Twice this many pictures have one similar pair by chance, about."""

NEIGHBOURS: Final = 32
"""Nearest vectors looked at for each picture."""

SHOTS: Final = 50
"""Pictures after each one that may be of its burst."""

HASH_NEIGHBOURS: Final = 100
"""Pictures with near hashes that are looked at for each one."""

_SAMPLE: Final = 1500
"""Pictures whose pairs stand for all unrelated pairs."""

_FEW: Final = 200_000_000
"""Up to this many pictures that ask times codes, all are compared: it takes two seconds."""

_BLOCK: Final = 1024
"""Queries at once: they bound the memory."""

_CANDIDATES: Final = 65_536
"""Candidates looked at together: they bound the memory."""

_EXACT: Final = 5000
"""Up to this many vectors, all are compared."""

_ROUNDING: Final = 0.01
"""Cosines of vectors in 8 bits are this exact; found pairs are compared again."""

_ORDER: Final = np.random.default_rng(17).permutation(SIDE * SIDE)


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

Places = tuple[Ids, Ids]
"""Two places of each pair, the smaller one first."""


def calibrate(pictures: Pictures, read: ReadVectors) -> Levels:
    """The levels of a library, from the cosines of pairs whose hashes are far apart."""
    count = len(pictures.rows)
    chosen = np.random.default_rng(3).permutation(count)[:_SAMPLE]
    vectors, whole = read(pictures.rows[chosen].tolist()), pictures.hashes[chosen, 0]
    unrelated = np.triu(np.ones((len(chosen), len(chosen)), bool), 1)
    for start in range(0, len(chosen), _BLOCK // 4):
        block = slice(start, start + _BLOCK // 4)
        unrelated[block] &= _bits_between(whole[block, None], whole[None]) > STEPS[-1][0]
    unrelated[_near_hashes(pictures.hashes[chosen])] = False
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
        with _half_of_the_cores():
            near = _near_vectors(vectors, self.levels.near)
            candidates = [_near_hashes(pictures.hashes), _near_times(pictures.taken_at, self.burst_s), near]
        return self._related(pictures, _united(candidates, len(pictures.rows)), lambda places: vectors[places])

    def pairs_with(self, new: Mask, pictures: Pictures, near: Places) -> Pairs:
        """The pairs that have a `new` picture in them. `near` are those of near vectors."""
        candidates = [_near_hashes(pictures.hashes, new), _near_times(pictures.taken_at, self.burst_s, new), near]
        places = _united(candidates, len(pictures.rows))
        return self._related(pictures, places, lambda places: self.read(pictures.rows[places].tolist()))

    def _related(self, pictures: Pictures, places: Places, vectors_at: Callable[[Ids], Vectors]) -> Pairs:
        """The pairs among the candidates that are related."""
        runs = _runs(pictures.taken_at, self.burst_s)
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
    return Pairs(*_no_places(), np.empty(0, np.uint8), np.empty(0, np.float32), np.empty(0, np.uint8))


@contextmanager
def _half_of_the_cores() -> Iterator[None]:
    """For what FAISS does in this thread. Searches go on meanwhile, and threads that wait for each other lose time."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


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
    says = _says_something(hashes)
    straight = around = np.full(len(first), SIDE * SIDE)
    turns = np.zeros(len(first), np.int64)
    for one in range(PARTS):
        for other in range(PARTS):
            straight = np.minimum(straight, _bits_between(hashes[first, one], hashes[second, other]))
    used, where = np.unique(first, return_inverse=True)
    for turn, each in enumerate(turned(hashes[used, 0])[1:], 1):
        bits = _bits_between(each[where], hashes[second, 0])
        turns = np.where(bits < around, turn, turns)
        around = np.minimum(around, bits)
    blank = ~(says[first] & says[second])
    return np.where(blank, SIDE * SIDE, straight), np.where(blank, SIDE * SIDE, around), turns


def _bits_between(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Bits:
    """How many bits differ along the last axis of PART_BYTES."""
    words = np.ascontiguousarray(one).view(np.uint64) ^ np.ascontiguousarray(other).view(np.uint64)
    bits: Bits = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    return bits


def _says_something(hashes: Hashes) -> Mask:
    """Whether there is a hash, and of more than a flat picture: about half of its bits are set then."""
    ones = np.bitwise_count(hashes[:, 0]).sum(axis=1)
    says: Mask = (ones >= SIDE * SIDE // 4) & (ones <= SIDE * SIDE * 3 // 4)
    return says


def _near_hashes(hashes: Hashes, new: Mask | None = None) -> Places:
    """The pairs with near hashes; with `new`, only those that have one of these pictures in them."""
    useful = np.flatnonzero(_says_something(hashes))
    asking = useful if new is None else useful[new[useful]]
    used = np.flatnonzero(~_repeats(hashes[useful]))
    parts = _Codes(hashes[useful].reshape(-1, PART_BYTES)[used], useful[used // PARTS], STRAIGHT_BITS, len(asking))
    wholes = _Codes(hashes[useful, 0], useful, TURNED_BITS, len(asking))
    found = [_no_places()]
    for start in range(0, len(asking), _BLOCK):
        block = asking[start : start + _BLOCK]
        asked = np.flatnonzero(~_repeats(hashes[block]))
        found.append(parts.near(hashes[block].reshape(-1, PART_BYTES)[asked], block[asked // PARTS]))
        copies = turned(hashes[block, 0])[1:]
        found.append(wholes.near(np.concatenate(copies), np.tile(block, len(copies))))
    return _united(found, len(hashes))


def _repeats(hashes: Hashes) -> Mask:
    """(N * PARTS,): which parts are the whole once more, as insides without a frame are."""
    same = np.zeros(hashes.shape[:2], bool)
    same[:, -1] = (hashes[:, -1] == hashes[:, 0]).all(axis=1)
    return same.ravel()


class _Codes:
    """Finds codes that are near to others: of all where that is quick, else by hash tables.

    The key of a table has some of the bits. A pair is found from both sides: at 20 bits apart 99.9 % are found; at 40,
    90 %, and more of them by their vectors.
    """

    def __init__(self, codes: NDArray[np.uint8], places: Ids, bits: int, queries: int) -> None:
        """`places` are those of the codes, `bits` how far apart they may be, `queries` how many pictures will ask."""
        self._places, self._bits = places, bits
        self._is_exact = queries * len(codes) <= _FEW
        if self._is_exact:
            self._index = faiss.IndexBinaryFlat(SIDE * SIDE)
        elif bits <= TURNED_BITS:
            self._index = faiss.IndexBinaryMultiHash(SIDE * SIDE, 16, 16)
        else:
            self._index = faiss.IndexBinaryMultiHash(SIDE * SIDE, 12, 20)
            self._index.nflip = 1  # of the bits of a key may differ
        self._index.add(self._mixed(codes))

    def near(self, queries: NDArray[np.uint8], asking: Ids) -> Places:
        """The pairs of a query, asked by a place, and a code."""
        limits, distances, ids = self._index.range_search(self._mixed(queries), self._bits + 1)
        sources = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
        keep = _nearest(sources, distances)
        return asking[sources[keep]], self._places[ids[keep]]

    def _mixed(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """With bits in another order, in which each key has low frequencies and high ones."""
        return codes if self._is_exact else np.packbits(np.unpackbits(codes, axis=1)[:, _ORDER], axis=1)


def _nearest(sources: Ids, distances: NDArray[Any]) -> Ids:
    """The numbers of the HASH_NEIGHBOURS results with the smallest distance of each source. `sources` rise."""
    order = np.lexsort((distances, sources))
    _, starts, counts = np.unique(sources[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    return order[rank < HASH_NEIGHBOURS]


def _near_times(taken_at: Floats, burst_s: float, new: Mask | None = None) -> Places:
    """Pairs of the same run of shots."""
    runs = _runs(taken_at, burst_s)
    order = np.argsort(taken_at, kind="stable")[: int((~np.isnan(taken_at)).sum())]
    pairs = []
    for step in range(1, min(SHOTS, len(order) - 1) + 1):
        first, second = order[:-step], order[step:]
        keep = runs[first] == runs[second]
        if not keep.any():
            break
        if new is not None:
            keep &= new[first] | new[second]
        pairs.append((first[keep], second[keep]))
    return _united(pairs, len(taken_at))


def _runs(taken_at: Floats, burst_s: float) -> Ids:
    """(N,) the number of the run of shots that each picture is in, with pauses up to `burst_s`; -1 without a time."""
    order = np.argsort(taken_at, kind="stable")
    runs = np.full(len(taken_at), -1, np.int64)
    known = order[: int((~np.isnan(taken_at)).sum())]
    runs[known] = np.cumsum(np.diff(taken_at[known], prepend=-np.inf) > burst_s)
    return runs


def _near_vectors(vectors: Vectors, least: float) -> Places:
    """Pairs of near vectors, at least `least`: among the NEIGHBOURS nearest of each picture."""
    index = _vector_index(vectors)
    pairs = []
    for start in range(0, len(vectors), _BLOCK):
        scores, found = index.search(vectors[start : start + _BLOCK], NEIGHBOURS + 1)
        source, column = np.nonzero((scores >= least - _ROUNDING) & (found >= 0))
        pairs.append((start + source, found[source, column]))
    return _united(pairs, len(vectors))


def _vector_index(vectors: Vectors) -> Any:
    """Exact for few vectors, else cells of which the nearest are searched: near pairs are rarely apart.

    With 8 bits for each number a search reads a quarter of the memory, which is what it waits for.
    """
    count, dimension = vectors.shape
    if count <= _EXACT:
        index = faiss.IndexFlatIP(dimension)
    else:
        coarse = faiss.IndexFlatIP(dimension)
        bits = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexIVFScalarQuantizer(
            coarse, dimension, int(2 * count**0.5), bits, faiss.METRIC_INNER_PRODUCT, False
        )
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = 4, 39, 1
        index.nprobe = 4
        index.train(vectors)
    index.add(vectors)
    return index


def _united(pairs: Sequence[Places], count: int) -> Places:
    """Each pair of different places once, the smaller place first."""
    if not pairs:
        return _no_places()
    one, other = (np.concatenate([each[side] for each in pairs]).astype(np.int64) for side in (0, 1))
    keys = np.unique((np.minimum(one, other) * max(count, 1) + np.maximum(one, other))[one != other])
    return keys // max(count, 1), keys % max(count, 1)


def _no_places() -> Places:
    return np.empty(0, np.int64), np.empty(0, np.int64)
