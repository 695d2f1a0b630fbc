"""Exact cosine search with FAISS, in two layers that make a changed copy cheap.

`base` is the index as it was read from its file and is never written again; `fresh` is a small matrix of rows that came
since; `alive` marks the base rows that are still there. Arrays are replaced, never mutated, so `copy` shares them all
and a search on one store never sees a change made on its copy.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from app.errors import IndexCorrupt
from app.types import Ids, Vectors, in_folder

GATHER_SHARE = 0.2
"""Up to this share of the base, eligible rows are gathered and scored; above it, FAISS scans with a bitmap."""

DECIMALS = 6
"""Of scores."""

MASK_BYTES = 64 << 20
"""Remembered folder selections start anew above this size."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Layer:
    """Row ids and folder codes, aligned with the rows' vectors."""

    ids: Ids
    codes: NDArray[np.int32]

    def append(self, ids: Ids, codes: NDArray[np.int32]) -> "_Layer":
        return _Layer(np.concatenate([self.ids, ids]), np.concatenate([self.codes, codes]))

    def keep(self, mask: Mask) -> "_Layer":
        return _Layer(self.ids[mask], self.codes[mask])


_NO_ROWS = _Layer(np.empty(0, np.int64), np.empty(0, np.int32))


class FaissStore:
    """Exact inner product over unit vectors under int64 ids. Searching is thread-safe; changing is for one thread."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._index = _flat_index(dimension)
        self._base = _NO_ROWS
        self._order: Ids = np.empty(0, np.int64)
        self._alive: Mask = np.empty(0, bool)
        self._fresh = _NO_ROWS
        self._fresh_vectors: Vectors = np.empty((0, dimension), np.float32)
        self._folder_codes: dict[str, int] = {}
        self._masks: dict[tuple[str, ...], tuple[Mask, Mask]] = {}

    def __len__(self) -> int:
        return int(self._alive.sum()) + len(self._fresh.ids)

    def ids(self) -> Ids:
        """(N,) row ids, in the order in which `save` writes the rows."""
        return np.concatenate([self._base.ids[self._alive], self._fresh.ids])

    def copy(self) -> "FaissStore":
        """A store with the same rows that can be changed without this one noticing. Costs no vector copies."""
        twin = FaissStore.__new__(FaissStore)
        twin.__dict__.update(self.__dict__)
        twin._folder_codes = dict(self._folder_codes)
        twin._masks = {}
        return twin

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present. Raises ValueError on what doesn't fit or is no number."""
        if vectors.shape != (len(ids), self.dimension) or len(folders) != len(ids) or len(np.unique(ids)) != len(ids):
            raise ValueError(f"{len(ids)} distinct ids need as many folders and ({len(ids)}, {self.dimension}) vectors")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector holds what is no number")
        self.remove(ids.tolist())
        codes = np.array([self._code(folder) for folder in folders], np.int32)
        self._fresh = self._fresh.append(ids, codes)
        self._fresh_vectors = np.concatenate([self._fresh_vectors, vectors.astype(np.float32, copy=False)])
        self._masks = {}

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many there were; absent ids are fine."""
        before = len(self)
        wanted = np.fromiter(ids, np.int64, len(ids))
        positions, found = self._locate(wanted)
        self._alive = self._alive.copy()
        self._alive[positions[found]] = False
        kept = ~np.isin(self._fresh.ids, wanted)
        self._fresh, self._fresh_vectors = self._fresh.keep(kept), self._fresh_vectors[kept]
        self._masks = {}
        return before - len(self)

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order. Raises KeyError."""
        wanted = np.array(ids, np.int64)
        positions, found = self._locate(wanted)
        found[found] = self._alive[positions[found]]
        fresh_position = {int(row): position for position, row in enumerate(self._fresh.ids)}
        vectors = np.empty((len(wanted), self.dimension), np.float32)
        vectors[found] = self._base_vectors()[positions[found]]
        for place in np.flatnonzero(~found):
            vectors[place] = self._fresh_vectors[fresh_position[int(wanted[place])]]
        return vectors

    def search(self, queries: Vectors, k: int, *, folders: Collection[str] = ()) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them, exact.

        Eligible is what lies in or below any of `folders`; no folders means everything.
        """
        base_mask, fresh_mask = self._eligible(folders)
        base_scores, base_ids = self._search_base(queries, k, base_mask)
        scores = np.hstack([base_scores, queries @ self._fresh_vectors[fresh_mask].T])
        fresh_ids = np.broadcast_to(self._fresh.ids[fresh_mask], (len(queries), int(fresh_mask.sum())))
        ids = np.hstack([base_ids, fresh_ids])
        return [_best(row_ids, row_scores, k) for row_ids, row_scores in zip(ids, scores, strict=True)]

    def save(self, path: Path) -> None:
        """Write all rows as one FAISS file: an id map over a flat inner-product index. Raises OSError."""
        index = _flat_index(self.dimension)
        vectors = np.concatenate([self._base_vectors()[self._alive], self._fresh_vectors])
        index.add_with_ids(vectors, self.ids())
        try:
            faiss.write_index(index, str(path))
        except RuntimeError as error:
            raise OSError(f"the index could not be written whole to {path}") from error

    @classmethod
    def load(cls, path: Path, folder_of_id: Callable[[int], str]) -> "FaissStore":
        """Read what `save` wrote. Raises IndexCorrupt, and what `folder_of_id` raises for an unknown id."""
        try:
            index = faiss.read_index(str(path))
            store = cls(index.d)
            store._index = index
            ids = faiss.vector_to_array(index.id_map)
        except (RuntimeError, AttributeError) as error:
            raise IndexCorrupt(f"The index file {path.name} can't be read: it is torn or of another kind.") from error
        codes = np.array([store._code(folder_of_id(row)) for row in ids.tolist()], np.int32)
        store._base = _Layer(ids, codes)
        store._order = np.argsort(ids, kind="stable")
        store._alive = np.ones(len(ids), bool)
        return store

    def _code(self, folder: str) -> int:
        return self._folder_codes.setdefault(folder, len(self._folder_codes))

    def _locate(self, ids: Ids) -> tuple[Ids, Mask]:
        """Base positions of `ids`, and which of them are in the base at all, alive or not."""
        if not len(self._base.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        places = np.searchsorted(self._base.ids, ids, sorter=self._order)
        positions = self._order[np.minimum(places, len(self._order) - 1)]
        return positions, self._base.ids[positions] == ids

    def _base_vectors(self) -> Vectors:
        """(N, D) view of the base index's own memory."""
        flat = faiss.downcast_index(self._index.index)
        if not flat.ntotal:
            return np.empty((0, self.dimension), np.float32)
        view = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * self.dimension)
        return np.asarray(view, np.float32).reshape(flat.ntotal, self.dimension)

    def _eligible(self, folders: Collection[str]) -> tuple[Mask, Mask]:
        """Which base rows and which fresh rows a search may answer; remembered for each folder set."""
        key = tuple(sorted(set(folders)))
        masks = self._masks.get(key)
        if masks is None:
            codes = [c for name, c in self._folder_codes.items() if not key or any(in_folder(name, f) for f in key)]
            allowed = np.zeros(len(self._folder_codes), bool)
            allowed[codes] = True
            masks = self._alive & allowed[self._base.codes], allowed[self._fresh.codes]
            if len(self._masks) * (len(self._alive) + 1) > MASK_BYTES:
                self._masks.clear()
            self._masks[key] = masks
        return masks

    def _search_base(self, queries: Vectors, k: int, mask: Mask) -> tuple[Vectors, Ids]:
        """(Q, n) scores and ids with n <= max(k, gathered rows); no padding."""
        eligible = int(mask.sum())
        if eligible <= GATHER_SHARE * len(mask) or eligible <= k:
            rows = self._base_vectors()[mask]
            return queries @ rows.T, np.broadcast_to(self._base.ids[mask], (len(queries), eligible))
        selector = None if eligible == len(mask) else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        scores, positions = self._scan(queries, k, eligible, selector)
        return scores, self._base.ids[positions]

    def _scan(self, queries: Vectors, k: int, eligible: int, selector: faiss.IDSelector | None) -> tuple[Vectors, Ids]:
        """FAISS's best k < `eligible`, and beyond them all that tie with the last: the caller decides among those."""
        faiss.omp_set_num_threads(1)  # this thread: two cores gain little, a busy one costs much
        wanted = k + 1
        while True:
            params = faiss.SearchParameters(sel=selector) if selector else None
            scores, positions = self._index.index.search(queries, wanted, params=params)
            tied = np.any(np.round(scores[:, k - 1], DECIMALS) == np.round(scores[:, -1], DECIMALS))
            if not tied or wanted == eligible:
                return scores, positions
            wanted = min(4 * wanted, eligible)


def _flat_index(dimension: int) -> faiss.IndexIDMap2:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))


def _best(ids: Ids, scores: Vectors, k: int) -> list[tuple[int, float]]:
    """The k best of one query, by falling score, then by id.

    Scores are rounded to DECIMALS, below which float32 sums differ by the order of addition: pictures with the
    same vector then have the same score, and come in the same order, whichever path scored them.
    """
    scores = np.round(scores, DECIMALS)
    order = np.lexsort((ids, -scores))[:k] if len(ids) <= 4 * k else _top(ids, scores, k)
    return [(int(ids[place]), round(float(np.clip(scores[place], -1.0, 1.0)), DECIMALS)) for place in order]


def _top(ids: Ids, scores: Vectors, k: int) -> Ids:
    threshold = np.partition(scores, -k)[-k]
    places = np.flatnonzero(scores >= threshold)
    return places[np.lexsort((ids[places], -scores[places]))[:k]]
