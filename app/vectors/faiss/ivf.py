"""Inverted files: vectors grouped around centroids, of which a search scans the nearest groups.

Rows are kept in the order of their lists, so a row's position says its list (`offsets`). Two shapes:

- `ivf_sq8`: what is left of a vector after its list's centroid, eight bits a dimension.
- `ivf_rabitq`: one bit a dimension (RaBitQ, arXiv:2405.12497), the best of which are scored again from half floats
  that stay in the mapped file until they are asked for.

A filter limits lists as well as rows. Only lists that hold an eligible row are scanned, and the fewer of their rows are
eligible, the more lists are scanned. A small selection is scored row by row, which misses no row.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from app.types import Ids, Vectors
from app.vectors.base import Accuracy
from app.vectors.faiss.codes import HalfFloats, Residuals
from app.vectors.faiss.flat import Found, Mask, vectors_of

GATHER_ROWS = 3000
"""Up to this many eligible rows are scored one by one; above it, lists are scanned."""

NEARLY_ALL = 0.9
"""Above this share of rows and of lists, a selection is searched as everything is."""


@dataclass(frozen=True)
class Eligible:
    """The rows that a search may return, and the lists that hold them."""

    rows: Mask
    lists: Mask
    count: int
    share: float
    """Share of the rows in those lists that are eligible."""

    @cached_property
    def positions(self) -> Ids:
        return np.flatnonzero(self.rows)

    @cached_property
    def row_selector(self) -> faiss.IDSelector:
        return faiss.IDSelectorBitmap(np.packbits(self.rows, bitorder="little"))

    @cached_property
    def list_selector(self) -> faiss.IDSelector:
        return faiss.IDSelectorBitmap(np.packbits(self.lists, bitorder="little"))


class IvfIndex:
    """An inverted file as it was read, never changed. Searching is thread-safe."""

    def __init__(self, index: Any, accuracy: Accuracy) -> None:
        """`index`: a FAISS IVF of scalar codes, or an `IndexRefine` over one of RaBitQ codes; ids are positions."""
        self.faiss_index = index
        self.owner: Any = None  # The object that owns the mapped memory: it must live as long as the index.
        self.accuracy = accuracy
        refined = isinstance(index, faiss.IndexRefine)
        self._ivf = faiss.downcast_index(index.base_index) if refined else index
        lists = faiss.downcast_InvertedLists(self._ivf.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            lists.prefetch_nthread = (
                0  # else each search starts 32 threads, which takes four times as long as the search
            )
        self._lists = self._ivf.nlist
        sizes = np.array([self._ivf.invlists.list_size(number) for number in range(self._lists)])
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        """(lists + 1,) position of each list's first row."""
        self.centroids = vectors_of(faiss.downcast_index(self._ivf.quantizer))
        """(lists, D)."""
        self._codes = HalfFloats(index.refine_index) if refined else Residuals(self._ivf, self.offsets, self.centroids)
        self._refined = refined

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def lists(self) -> int:
        return int(self._lists)

    @property
    def codes(self) -> HalfFloats | Residuals:
        return self._codes

    @property
    def list_of(self) -> Ids:
        """(N,) the list of each row."""
        return np.repeat(np.arange(self._lists), np.diff(self.offsets))

    def eligible(self, rows: Mask) -> Eligible:
        """A selection of rows as `search` takes it. It takes long to compute, so callers keep it."""
        counts = np.add.reduceat(np.append(rows, False), self.offsets[:-1], dtype=np.int64)
        counts[np.diff(self.offsets) == 0] = 0
        lists = counts > 0
        total = int(np.diff(self.offsets)[lists].sum())
        count = int(counts.sum())
        return Eligible(rows, lists, count, count / total if total else 0.0)

    def vectors(self, positions: Ids) -> Vectors:
        """(N, D) unit vectors of rows, as precise as they are stored."""
        rows = self.stored(positions)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def stored(self, positions: Ids) -> Vectors:
        """(N, D) vectors as the codes say, not normalised: encoding them again gives the same codes."""
        return self._codes.decode(positions)

    def search(self, queries: Vectors, k: int, among: Eligible | None = None, *, probes: int | None = None) -> Found:
        """The best min(k, eligible) rows of each query (Q, D). Only tuning passes `probes`, the lists to scan."""
        queries = np.ascontiguousarray(queries, np.float32)
        if among is not None and (among.count <= max(GATHER_ROWS, k) and probes is None):
            return self._codes.nearest(queries, min(k, among.count), among.positions)
        wanted = min(k, among.count if among else len(self))
        most = int(among.lists.sum()) if among else self._lists
        if probes is not None:
            return self._scan(queries, wanted, among, min(most, probes))
        probes = min(most, self._probes(among))
        scores, positions = self._scan(queries, wanted, among, probes)
        while probes < most and (lacking := positions[:, wanted - 1] < 0).any():
            probes = min(most, 4 * probes)
            scores[lacking], positions[lacking] = self._scan(queries[lacking], wanted, among, probes)
        return scores, positions

    def lists_near(self, number: int, share: float) -> Mask:
        """(lists,) the `share` of all lists whose centroids are nearest to that of list `number`."""
        nearness = self.centroids @ self.centroids[number]
        near: Mask = nearness >= np.quantile(nearness, 1 - share)
        return near

    def _probes(self, among: Eligible | None) -> int:
        table = self.accuracy.filtered_probes
        if among is None or not table or (among.share > NEARLY_ALL and among.lists.mean() > NEARLY_ALL):
            return max(1, self.accuracy.probes)
        return probes_for(table, among.share)

    def _scan(self, queries: Vectors, k: int, among: Eligible | None, probes: int) -> Found:
        filters = {} if among is None else {
            "sel": among.row_selector, "quantizer_params": faiss.SearchParameters(sel=among.list_selector)
        }  # fmt: skip
        params = faiss.SearchParametersIVF(nprobe=probes, **filters)
        faiss.omp_set_num_threads(1)  # of this thread: other threads search at the same time
        if self._refined:
            params = faiss.IndexRefineSearchParameters(k_factor=self.accuracy.refine, base_index_params=params)
        scores, positions = self.faiss_index.search(queries, k, params=params)
        return scores, positions


def probes_for(table: tuple[tuple[float, int], ...], share: float) -> int:
    """Lists to scan when `share` of their rows are eligible: interpolated between tuned points, log over log."""
    shares, probes = (np.log(column) for column in zip(*sorted(table), strict=True))
    return int(np.ceil(np.exp(np.interp(np.log(max(share, 1e-9)), shares, probes)) - 1e-6))
