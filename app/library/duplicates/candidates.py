"""Pairs of pictures that may be alike, to be compared with care: those with near hashes, near times or near vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from app.pictures.perceptual import PART_BYTES, PARTS, SIDE, Hashes, Mask, says_something, turned
from app.types import Ids, Vectors

Floats = NDArray[np.float64]

Places = tuple[Ids, Ids]
"""Two places of each pair, the smaller one first."""

TURNED_BITS: Final = 24
"""A flipped or turned copy's hash is this near to the one that is derived for it, of 256."""

STRAIGHT_BITS: Final = 40
"""Pairs up to this are found by their hashes alone; those of the last step by their vectors."""

NEIGHBOURS: Final = 32
"""Nearest vectors looked at for each picture."""

SHOTS: Final = 50
"""Pictures after each one that may be of its burst."""

HASH_NEIGHBOURS: Final = 100
"""Pictures with near hashes that are looked at for each one."""

_FEW: Final = 200_000_000
"""Up to this many pictures that ask times codes, all are compared: it takes two seconds."""

_BLOCK: Final = 1024
"""Queries at once: they bound the memory."""

_EXACT: Final = 5000
"""Up to this many vectors, all are compared."""

_ROUNDING: Final = 0.01
"""Cosines of vectors in 8 bits are this exact; found pairs are compared again."""

_ORDER: Final = np.random.default_rng(17).permutation(SIDE * SIDE)


def near_hashes(hashes: Hashes, new: Mask | None = None) -> Places:
    """The pairs with near hashes; with `new`, only those that have one of these pictures in them."""
    useful = np.flatnonzero(says_something(hashes))
    asking = useful if new is None else useful[new[useful]]
    used = np.flatnonzero(~_repeats(hashes[useful]))
    parts = _Codes(hashes[useful].reshape(-1, PART_BYTES)[used], useful[used // PARTS], STRAIGHT_BITS, len(asking))
    wholes = _Codes(hashes[useful, 0], useful, TURNED_BITS, len(asking))
    found = [no_places()]
    for start in range(0, len(asking), _BLOCK):
        block = asking[start : start + _BLOCK]
        asked = np.flatnonzero(~_repeats(hashes[block]))
        found.append(parts.near(hashes[block].reshape(-1, PART_BYTES)[asked], block[asked // PARTS]))
        copies = turned(hashes[block, 0])[1:]
        found.append(wholes.near(np.concatenate(copies), np.tile(block, len(copies))))
    return united(found, len(hashes))


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


def near_times(taken_at: Floats, burst_s: float, new: Mask | None = None) -> Places:
    """Pairs of the same run of shots."""
    runs = runs_of(taken_at, burst_s)
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
    return united(pairs, len(taken_at))


def runs_of(taken_at: Floats, burst_s: float) -> Ids:
    """(N,) the number of the run of shots that each picture is in, with pauses up to `burst_s`; -1 without a time."""
    order = np.argsort(taken_at, kind="stable")
    runs = np.full(len(taken_at), -1, np.int64)
    known = order[: int((~np.isnan(taken_at)).sum())]
    runs[known] = np.cumsum(np.diff(taken_at[known], prepend=-np.inf) > burst_s)
    return runs


def near_vectors(vectors: Vectors, least: float) -> Places:
    """Pairs of near vectors, at least `least`: among the NEIGHBOURS nearest of each picture."""
    index = _vector_index(vectors)
    pairs = []
    for start in range(0, len(vectors), _BLOCK):
        scores, found = index.search(vectors[start : start + _BLOCK], NEIGHBOURS + 1)
        source, column = np.nonzero((scores >= least - _ROUNDING) & (found >= 0))
        pairs.append((start + source, found[source, column]))
    return united(pairs, len(vectors))


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


def united(pairs: Sequence[Places], count: int) -> Places:
    """Each pair of different places once, the smaller place first."""
    if not pairs:
        return no_places()
    one, other = (np.concatenate([each[side] for each in pairs]).astype(np.int64) for side in (0, 1))
    keys = np.unique((np.minimum(one, other) * max(count, 1) + np.maximum(one, other))[one != other])
    return keys // max(count, 1), keys % max(count, 1)


def no_places() -> Places:
    return np.empty(0, np.int64), np.empty(0, np.int64)


@contextmanager
def half_of_the_cores() -> Iterator[None]:
    """For what FAISS does in this thread. Searches go on meanwhile, and threads that wait for each other lose time."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
