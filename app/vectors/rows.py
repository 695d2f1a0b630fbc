"""What the stores share: rows are checked and cut into batches on the way in, located by id, and ranked as hits."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.types import Ids, Vectors, ancestors_of

DECIMALS = 6
"""Of scores: below that, float32 sums differ by the order of addition."""

BATCH_BYTES = 4 << 20
"""Of vectors in one request; Milvus takes 64 MiB and Chroma 40 MiB, as text that is several times longer."""

BATCH_ROWS = 4000

Hits = list[tuple[int, float]]


def check_rows(dimension: int, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
    """Raises ValueError when ids, vectors and folders do not match, or when a vector contains NaN or infinity."""
    if vectors.shape != (len(ids), dimension) or len(folders) != len(ids) or len(np.unique(ids)) != len(ids):
        raise ValueError(f"{len(ids)} distinct ids need as many folders and ({len(ids)}, {dimension}) vectors")
    if not np.isfinite(vectors).all():
        raise ValueError("a vector contains a value that is no number")


def locate(ids: Ids, order: Ids, wanted: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """The position of each wanted id among `ids`, and whether it is there; `order` sorts `ids` (argsort)."""
    if not len(ids):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    rising = np.argsort(wanted)  # so searched, 50,000 of a million ids take 6 ms and not 38: they lie in the cache
    places = np.empty(len(wanted), np.int64)
    places[rising] = np.searchsorted(ids, wanted[rising], sorter=order)
    positions = order[np.minimum(places, len(ids) - 1)]
    return positions, ids[positions] == wanted


def batches(count: int, dimension: int, most: int = BATCH_ROWS) -> Iterator[slice]:
    """Slices of `count` rows whose vectors stay below BATCH_BYTES."""
    step = max(1, min(most, BATCH_BYTES // (4 * dimension)))
    return (slice(start, start + step) for start in range(0, count, step))


def outermost(folders: Collection[str]) -> list[str]:
    """The folders without those that lie below another of them; empty when they include the root."""
    wanted = set(folders)
    if "" in wanted:
        return []
    return sorted(folder for folder in wanted if wanted.isdisjoint(ancestors_of(folder)))


def ranked(ids: Iterable[int], scores: Iterable[float], k: int) -> Hits:
    """The k best by falling score, then by id, as FaissStore ranks them."""
    rounded = (round(min(1.0, max(-1.0, score)), DECIMALS) for score in scores)
    return sorted(zip(map(int, ids), rounded, strict=True), key=lambda hit: (-hit[1], hit[0]))[:k]


def search_exactly(queries: Vectors, k: int, rows: Iterable[tuple[Sequence[int], Vectors]]) -> list[Hits]:
    """The best of all `rows`, which come as batches of ids and (N, D) vectors."""
    best: list[Hits] = [[] for _ in queries]
    for ids, vectors in rows:
        scores = queries @ vectors.T
        for place, row in enumerate(scores):
            known = best[place]
            best[place] = ranked([*(i for i, _ in known), *ids], [*(s for _, s in known), *row.tolist()], k)
    return best
