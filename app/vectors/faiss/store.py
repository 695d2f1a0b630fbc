"""Cosine search with FAISS, in two layers that make a changed copy cheap.

`base` is the index as it was mapped from its file; it is never changed. `fresh` is a small matrix of rows that were
added since. `alive` marks the base rows that were not removed. Arrays are replaced, never mutated, so `copy` shares all
of them, and a search on one store never sees a change made on its copy.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from app.errors import IndexCorrupt
from app.settings import VectorSettings
from app.types import Ids, Vectors, in_folder
from app.vectors.base import Accuracy, RowReader
from app.vectors.faiss.build import build_ivf, choose_shape, extend_sq8, fits
from app.vectors.faiss.flat import FlatIndex, Mask, inner_products
from app.vectors.faiss.ivf import IvfIndex
from app.vectors.faiss.tuning import tune
from app.vectors.rows import DECIMALS, check_rows, locate

MASK_BYTES = 64 << 20
"""Bound for the remembered folder selections; above it the oldest are dropped."""

Codes: TypeAlias = NDArray[np.int32]

BaseIndex: TypeAlias = FlatIndex | IvfIndex


@dataclass(frozen=True)
class Rows:
    """The rows of an index file in its order: their ids, and the folder of each as a number into `folders`."""

    ids: Ids
    folders: Sequence[str]
    codes: Codes


@dataclass(frozen=True)
class Saved:
    """What `FaissStore.save` wrote."""

    ids: Ids
    """(N,) in the order of the file."""
    accuracy: Accuracy


@dataclass(frozen=True)
class _Layer:
    """Row ids and folder codes, aligned with the rows' vectors."""

    ids: Ids
    codes: Codes

    def append(self, ids: Ids, codes: Codes) -> "_Layer":
        return _Layer(np.concatenate([self.ids, ids]), np.concatenate([self.codes, codes]))

    def keep(self, mask: Mask) -> "_Layer":
        return _Layer(self.ids[mask], self.codes[mask])


_NO_ROWS = _Layer(np.empty(0, np.int64), np.empty(0, np.int32))


class FaissStore:
    """Inner product over unit vectors under int64 ids. Searching is thread-safe, changing is not.

    Exact while the shape is flat; for other shapes see `accuracy`.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._index: BaseIndex = FlatIndex(faiss.IndexFlatIP(dimension))
        self._base = _NO_ROWS
        self._order: Ids = np.empty(0, np.int64)
        self._alive: Mask = np.empty(0, bool)
        self._fresh = _NO_ROWS
        self._fresh_vectors: Vectors = np.empty((0, dimension), np.float32)
        self._folder_codes: dict[str, int] = {}
        self._selections: OrderedDict[tuple[str, ...], tuple[Any, Mask]] = OrderedDict()

    @property
    def accuracy(self) -> Accuracy:
        """Of the base; rows that were added since are compared exactly."""
        return self._index.accuracy

    @property
    def base_index(self) -> BaseIndex:
        """The index as it was mapped from its file: it still has rows that were removed since."""
        return self._index

    def __len__(self) -> int:
        return int(self._alive.sum()) + len(self._fresh.ids)

    def ids(self) -> Ids:
        """(N,) row ids."""
        return np.concatenate([self._base.ids[self._alive], self._fresh.ids])

    def copy(self) -> "FaissStore":
        """A store with the same rows; changes to it leave this one as it is. No vectors are copied."""
        twin = FaissStore.__new__(FaissStore)
        twin.__dict__.update(self.__dict__)
        twin._folder_codes = dict(self._folder_codes)
        twin._selections = OrderedDict()
        return twin

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present. Raises ValueError as `check_rows` does."""
        check_rows(self.dimension, ids, vectors, folders)
        self.remove(ids.tolist())
        codes = np.array([self._code(folder) for folder in folders], np.int32)
        self._fresh = self._fresh.append(ids, codes)
        self._fresh_vectors = np.concatenate([self._fresh_vectors, vectors.astype(np.float32, copy=False)])
        self._selections = OrderedDict()

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many of them existed; absent ids are allowed."""
        before = len(self)
        wanted = np.fromiter(ids, np.int64, len(ids))
        positions, found = self._locate(wanted)
        self._alive = self._alive.copy()
        self._alive[positions[found]] = False
        kept = ~np.isin(self._fresh.ids, wanted)
        self._fresh, self._fresh_vectors = self._fresh.keep(kept), self._fresh_vectors[kept]
        self._selections = OrderedDict()
        return before - len(self)

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order, as precise as the shape stores them. Raises KeyError."""
        wanted = np.array(ids, np.int64)
        positions, found = self._locate(wanted)
        found[found] = self._alive[positions[found]]
        fresh_position = {int(row): position for position, row in enumerate(self._fresh.ids)}
        vectors = np.empty((len(wanted), self.dimension), np.float32)
        vectors[found] = self._index.vectors(positions[found])
        for place in np.flatnonzero(~found):
            vectors[place] = self._fresh_vectors[fresh_position[int(wanted[place])]]
        return vectors

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them.

        Rows in or below any of `folders` are eligible; without folders, all rows are. Of the rows `among` where they
        are given; some of those may be absent.
        """
        selected, fresh_mask = self._eligible(folders) if among is None else self._eligible_among(folders, among)
        scores, positions = self._index.search(queries, k, selected)
        if fresh_mask.any():
            fresh_scores = inner_products(queries, self._fresh_vectors[fresh_mask])
            fresh_ids = np.broadcast_to(self._fresh.ids[fresh_mask], fresh_scores.shape)
        else:
            fresh_scores, fresh_ids = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        found = positions >= 0
        base_ids = self._base.ids[np.where(found, positions, 0)] if len(self._base.ids) else positions
        return [
            _best(
                np.concatenate([base_ids[row][found[row]], fresh_ids[row]]),
                np.concatenate([scores[row][found[row]], fresh_scores[row]]),
                k,
            )
            for row in range(len(queries))
        ]

    def save(self, path: Path, settings: VectorSettings) -> Saved:
        """Write all rows as one FAISS file, in the shape that suits their number. Raises OSError."""
        shape = choose_shape(len(self), self.dimension, settings, self.accuracy.shape)
        kept = np.flatnonzero(self._alive)
        if not len(self):
            shape = "flat"
        read = self._reader(kept)
        if shape == "flat":
            index = faiss.IndexFlatIP(self.dimension)
            index.add(read(np.arange(len(self))))
            return self._write(index, shape, self.ids(), path)
        old = self._index if isinstance(self._index, IvfIndex) and fits(self._index, shape, len(self)) else None
        if shape == "ivf_sq8" and old:
            index, order = extend_sq8(old, kept, self._fresh_vectors)
            saved = self._write(index, shape, self.ids()[order], path)
            # The recall before was measured against vectors that are gone. Against the codes, only a fall can be seen.
            again = _tuned(saved, path, shape, settings, None)
            return replace(again, accuracy=_lower_of(again.accuracy, old.accuracy))
        index, order = build_ivf(shape, read, len(self), self.dimension, old)
        saved = self._write(index, shape, self.ids()[order], path)
        return _tuned(saved, path, shape, settings, lambda positions: read(order[positions]))

    @classmethod
    def load(cls, path: Path, rows: Rows, accuracy: Accuracy) -> "FaissStore":
        """Map what `save` wrote; the file may be unlinked afterwards.

        Raises IndexCorrupt when it is torn, of another kind, or holds other ids than `rows`.
        """
        ids, index = _map_index(path, accuracy)
        if not np.array_equal(ids, rows.ids):
            raise IndexCorrupt(f"The index file {path.name} and the metadata do not list the same pictures.")
        store = cls(index.vectors(np.empty(0, np.int64)).shape[1])
        store._index = index
        store._folder_codes = {folder: code for code, folder in enumerate(rows.folders)}
        store._base = _Layer(rows.ids, rows.codes)
        store._order = np.argsort(ids, kind="stable")
        store._alive = np.ones(len(ids), bool)
        return store

    def _reader(self, kept: Ids) -> RowReader:
        """Reads rows as they are stored. Numbers below len(kept) are kept rows of the base, the others fresh rows."""

        def read(numbers: Ids) -> Vectors:
            of_base = numbers < len(kept)
            rows = np.empty((len(numbers), self.dimension), np.float32)
            rows[of_base] = self._index.stored(kept[numbers[of_base]])
            rows[~of_base] = self._fresh_vectors[numbers[~of_base] - len(kept)]
            return rows

        return read

    @staticmethod
    def _write(index: Any, shape: str, ids: Ids, path: Path) -> Saved:
        mapped = faiss.IndexIDMap(faiss.IndexFlatIP(index.d))  # Its constructor only takes an empty index.
        mapped.index = index
        faiss.copy_array_to_vector(ids, mapped.id_map)
        mapped.ntotal = len(ids)
        part = path.with_name(path.name + ".part")  # `path` may be what this store is mapped from
        try:
            faiss.write_index(mapped, str(part))
        except RuntimeError as error:
            part.unlink(missing_ok=True)
            raise OSError(f"the index could not be written whole to {path}") from error
        part.replace(path)
        return Saved(ids, Accuracy(shape, exact=shape == "flat"))

    def _code(self, folder: str) -> int:
        return self._folder_codes.setdefault(folder, len(self._folder_codes))

    def _locate(self, ids: Ids) -> tuple[Ids, Mask]:
        """Base positions of `ids`, and which of them are in the base at all, alive or not."""
        return locate(self._base.ids, self._order, ids)

    def _eligible(self, folders: Collection[str]) -> tuple[Any, Mask]:
        """The eligible base rows (None: all of them) and a mask of the fresh rows, remembered for each folder set."""
        key = tuple(sorted(set(folders)))
        selections = self._selections
        selection = selections.get(key)
        if selection is None:
            rows, fresh = self._in_folders(key)
            selection = None if rows.all() else self._index.eligible(rows), fresh
            selections[key] = selection
            while (len(selections) - 1) * 2 * (len(self._alive) + 1) > MASK_BYTES:
                selections.popitem(last=False)
        return selection

    def _eligible_among(self, folders: Collection[str], among: Ids) -> tuple[Any, Mask]:
        """As `_eligible`, of some rows only. Not remembered: each search may ask for other rows."""
        wanted = np.sort(among)  # which makes it several times faster to find them
        positions, found = self._locate(wanted)
        chosen = np.zeros(len(self._alive), bool)
        chosen[positions[found]] = True
        rows, fresh = self._in_folders(folders)
        found[found] = self._alive[positions[found]]
        return self._index.eligible(rows & chosen), fresh & np.isin(self._fresh.ids, wanted[~found])

    def _in_folders(self, folders: Collection[str]) -> tuple[Mask, Mask]:
        """Which rows of the base, and which fresh rows, are alive and in or below any of the folders."""
        codes = [c for name, c in self._folder_codes.items() if not folders or any(in_folder(name, f) for f in folders)]
        allowed = np.zeros(len(self._folder_codes), bool)
        allowed[codes] = True
        return self._alive & allowed[self._base.codes], allowed[self._fresh.codes]


def _map_index(path: Path, accuracy: Accuracy) -> tuple[Ids, BaseIndex]:
    """The row ids (N,) and the index in a file that `save` wrote. Raises IndexCorrupt."""
    flags = faiss.IO_FLAG_MMAP if accuracy.shape == "ivf_sq8" else faiss.IO_FLAG_MMAP_IFC
    try:
        mapped = faiss.read_index(str(path), flags)
        ids = faiss.vector_to_array(mapped.id_map)
        inner = faiss.downcast_index(mapped.index)
        index = FlatIndex(inner) if accuracy.shape == "flat" else IvfIndex(inner, accuracy)
    except (RuntimeError, AttributeError, TypeError, MemoryError) as error:
        raise IndexCorrupt(
            f"The index file {path.name} can't be read: it is torn or of another kind. Restore it, or make a new index "
            f"with `image2search index --rebuild`."
        ) from error
    index.owner = mapped
    return ids, index


def _tuned(saved: Saved, path: Path, shape: str, settings: VectorSettings, read: RowReader | None) -> Saved:
    _, index = _map_index(path, saved.accuracy)
    assert isinstance(index, IvfIndex)
    return Saved(saved.ids, tune(index, read or index.vectors, shape, settings.recall))


def _lower_of(measured: Accuracy, before: Accuracy) -> Accuracy:
    recalls = [recall for recall in (measured.recall, before.recall) if recall is not None]
    return replace(measured, recall=min(recalls, default=None))


def _best(ids: Ids, scores: Vectors, k: int) -> list[tuple[int, float]]:
    """The k best of one query, by falling score, then by id.

    Scores are rounded to DECIMALS, because below that float32 sums differ by the order of addition. So pictures with
    the same vector have the same score and the same order on every path.
    """
    scores = np.round(scores, DECIMALS)
    order = np.lexsort((ids, -scores))[:k] if len(ids) <= 4 * k else _top(ids, scores, k)
    cosines = np.clip(scores[order], -1.0, 1.0).tolist()
    return [(row, round(cosine, DECIMALS)) for row, cosine in zip(ids[order].tolist(), cosines, strict=True)]


def _top(ids: Ids, scores: Vectors, k: int) -> Ids:
    threshold = np.partition(scores, -k)[-k]
    places = np.flatnonzero(scores >= threshold)
    return places[np.lexsort((ids[places], -scores[places]))[:k]]
