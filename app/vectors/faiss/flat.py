"""Exact search: every eligible vector is compared with the query."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from app.types import Ids, Vectors
from app.vectors.base import EXACT, FEW_QUERIES
from app.vectors.rows import DECIMALS

Mask: TypeAlias = NDArray[np.bool_]

Found: TypeAlias = tuple[Vectors, Ids]
"""(Q, n) scores and positions of rows; position -1 where there are no more."""

GATHER_SHARE = 0.2
"""Up to this share of the rows, eligible rows are gathered and scored; above it, FAISS scans with a bitmap."""


@dataclass(frozen=True)
class Chosen:
    """The rows that a search may return."""

    rows: Mask

    @cached_property
    def count(self) -> int:
        return int(self.rows.sum())

    @cached_property
    def selector(self) -> faiss.IDSelector:
        return faiss.IDSelectorBitmap(np.packbits(self.rows, bitorder="little"))


class FlatIndex:
    """A flat inner-product index as it was read, never changed. Searching is thread-safe."""

    accuracy = EXACT

    def __init__(self, index: Any) -> None:
        self.faiss_index = index
        self.owner: Any = None  # The object that owns the mapped memory: it must live as long as the index.
        self._rows = vectors_of(index)

    def __len__(self) -> int:
        return len(self._rows)

    def eligible(self, rows: Mask) -> Chosen:
        return Chosen(rows)

    def vectors(self, positions: Ids) -> Vectors:
        """(N, D) vectors of rows."""
        return self._rows[positions]

    stored = vectors

    def search(self, queries: Vectors, k: int, among: Chosen | None = None) -> Found:
        """The best rows of each query (Q, D): at least min(k, eligible), and all that tie with the last of them."""
        eligible = among.count if among is not None else len(self)
        if among is not None and (eligible <= GATHER_SHARE * len(self) or eligible <= k):
            positions = np.flatnonzero(among.rows)
            scores = inner_products(queries, self._rows[positions])
            return scores, np.broadcast_to(positions, (len(queries), eligible))
        if eligible <= k:
            return inner_products(queries, self._rows), np.broadcast_to(np.arange(eligible), (len(queries), eligible))
        return self._scan(queries, k, eligible, among.selector if among is not None else None)

    def _scan(self, queries: Vectors, k: int, eligible: int, selector: faiss.IDSelector | None) -> Found:
        """FAISS's best k < `eligible`, and all that tie with the last of them: the caller orders those."""
        faiss.omp_set_num_threads(1)  # of this thread: a second core gains little, and costs much when it is busy
        wanted = k + 1
        while True:
            params = faiss.SearchParameters(sel=selector) if selector else None
            scores, positions = self.faiss_index.search(queries, wanted, params=params)
            tied = np.any(np.round(scores[:, k - 1], DECIMALS) == np.round(scores[:, -1], DECIMALS))
            if not tied or wanted == eligible:
                return scores, positions
            wanted = min(4 * wanted, eligible)


def inner_products(queries: Vectors, rows: Vectors) -> Vectors:
    """(Q, N) of queries (Q, D) and rows (N, D). Of `FEW_QUERIES`, each to the last bit as alone."""
    if not 1 < len(queries) <= FEW_QUERIES:
        return queries @ rows.T
    return np.concatenate([query[None] @ rows.T for query in queries])


def vectors_of(flat: Any) -> Vectors:
    """(N, D) view of a FAISS flat index's own memory."""
    if not flat.ntotal:
        return np.empty((0, flat.d), np.float32)
    return np.asarray(faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d), np.float32).reshape(flat.ntotal, flat.d)
