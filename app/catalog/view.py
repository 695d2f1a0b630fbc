"""A snapshot narrowed to the folders that a caller may see. Services get a view, never a snapshot.

A picture outside of the folders is not found, not counted and not searched, so that no service has to remember the
scope. The scope comes from the caller's key; without one it is everything.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np

from app.catalog.columns import Columns, Mask
from app.catalog.hubs import Examination
from app.catalog.snapshot import Snapshot, drift_of
from app.errors import ImageNotFound
from app.types import Ids, ImageRecord, ModelIdentity, Vectors, folder_of, in_folder, row_id
from app.vectors.base import Accuracy
from app.words.index import NOTHING, WordHits

EVERYWHERE = ("",)
"""The root folder: every picture lies in or below it."""


class View:
    """One state of the index as one caller sees it. Immutable: a request uses one view from start to end."""

    def __init__(self, snapshot: Snapshot, folders: Collection[str] = EVERYWHERE) -> None:
        """`folders` can be seen, with everything below them. An empty collection shows nothing."""
        self._snapshot = snapshot
        self._scope = tuple(sorted(set(folders)))

    @property
    def generation(self) -> str:
        """The name of the published generation."""
        return self._snapshot.pointer.generation

    @property
    def state(self) -> tuple[str, ...]:
        """Equal for two views that show the same: the token of the published state, then the scope."""
        return self._snapshot.pointer.token, *self._scope

    @property
    def scope(self) -> tuple[str, ...]:
        """The folders that the caller may see, sorted."""
        return self._scope

    @property
    def journal(self) -> int:
        """The number of the last journal; 0 for none."""
        return self._snapshot.pointer.journal

    @property
    def holds_still(self) -> bool:
        """Whether later publications leave what this view finds as it is. A vector server changes its collection."""
        return not self._snapshot.pointer.collection

    @property
    def published_at(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._snapshot.pointer.created_at

    @property
    def indexed_by(self) -> ModelIdentity:
        """The model that made the index."""
        return self._snapshot.pointer.model

    @property
    def made_with(self) -> tuple[str, ...]:
        """As `Pointer.made_with`."""
        return self._snapshot.pointer.made_with

    @property
    def hubs(self) -> Examination | None:
        """As `Pointer.hubs`."""
        return self._snapshot.pointer.hubs

    @property
    def accuracy(self) -> Accuracy:
        return self._snapshot.vectors.accuracy

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """How many pictures lie directly in each folder, by folder path; the root is the empty path."""
        counts = self._snapshot.folders
        return counts if self.shows("") else {path: count for path, count in counts.items() if self.shows(path)}

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._snapshot.records) if self.shows("") else sum(self.folders.values())

    @property
    def skipped(self) -> int:
        """How many objects could not be read as pictures."""
        skips = self._snapshot.skipped.values()
        return sum(self.shows(folder_of(skip.object_key)) for skip in skips if not skip.kind)

    def record(self, image_id: str) -> ImageRecord:
        """Raises ImageNotFound."""
        try:
            record = self._snapshot.records.get(row_id(image_id))
        except (ValueError, OverflowError):
            record = None
        if record is None or record.image_id != image_id or not self.shows(record.folder):
            raise ImageNotFound(f"No indexed picture has the id {image_id!r}. Take ids from search results.")
        return record

    def __contains__(self, image_id: str) -> bool:
        """Whether there is a picture with this id."""
        try:
            self.record(image_id)
        except ImageNotFound:
            return False
        return True

    def vector(self, image_id: str) -> Vectors:
        """(D,) float32, unit length. Raises ImageNotFound, VectorStoreUnavailable."""
        row: Vectors = self._snapshot.vectors.get([row_id(self.record(image_id).image_id)])[0]
        return row

    def records_of(self, rows: Sequence[int]) -> list[ImageRecord]:
        """The records of rows that the caller may see, in that order. Raises KeyError for any other row."""
        records = self._snapshot.records.take(rows)
        if hidden := next((record for record in records if not self.shows(record.folder)), None):
            raise KeyError(row_id(hidden.image_id))
        return records

    def vectors_of(self, rows: Sequence[int]) -> Vectors:
        """(N, D) float32 unit rows, in that order; `rows` are those of `records_of`. Raises VectorStoreUnavailable."""
        return self._snapshot.vectors.get(rows)

    def has_vector(self, rows: Ids) -> Mask:
        """(N,) whether each row has a vector: a vector server may have lost some. Raises VectorStoreUnavailable."""
        missing = drift_of(self._snapshot).missing
        return np.isin(rows, np.fromiter(missing, np.int64, len(missing)), invert=True)

    @cached_property
    def columns(self) -> Columns:
        """The fields of all pictures. The first call for a state takes seconds with millions of pictures: off the loop.

        Raises IndexCorrupt.
        """
        columns = self._snapshot.records.columns
        if self.shows(""):
            return columns
        seen = np.array([self.shows(folder) for folder in columns.folders], bool)
        return columns.where(seen[columns.folder_codes])

    def sample(self, count: int) -> Ids:
        """(S,) up to `count` rows that stand for the whole: those with the smallest row ids, read without a sign.

        Row ids are hashes of keys, so this is a random sample. It is the same for every replica, and hardly changes
        when pictures come and go.
        """
        records = self._snapshot.records
        rows = records.ids() if self.shows("") else records.ids_in(self.shows)
        unsigned = rows.view(np.uint64)
        smallest = np.argpartition(unsigned, count)[:count] if len(rows) > count else np.arange(len(rows))
        sampled: Ids = rows[smallest[np.argsort(unsigned[smallest])]]
        return sampled

    def find_content(self, content_hash: str, folder: str) -> ImageRecord | None:
        """As `Records.find_content`, which may take as long as `columns` the first time. Raises IndexCorrupt."""
        return self._snapshot.records.find_content(content_hash, folder) if self.shows(folder) else None

    def search(
        self, vector: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[tuple[ImageRecord, float]]:
        """The k pictures nearest to a vector (D,) with their cosines, best first.

        Only pictures in or below one of `folders` are searched, and of the rows `among` where they are given; no
        folders means all that can be seen. Raises VectorStoreUnavailable.
        """
        searched = self._visible_part_of(folders or EVERYWHERE)
        if not searched:
            return []
        (hits,) = self._snapshot.search(vector[None], k, folders=() if "" in searched else searched, among=among)
        records = self._snapshot.records.take([row for row, _ in hits])
        return [(record, score) for record, (_, score) in zip(records, hits, strict=True)]

    def search_words(
        self, text: str, k: int, *, folders: Collection[str] = (), among: Ids | None = None, also: Sequence[int] = ()
    ) -> WordHits:
        """The k pictures whose name, folder, caption and tags fit a text best (`WordIndex.search`).

        Only pictures in or below one of `folders`, or in all that can be seen, and of the rows `among`. `also` are rows
        of `records_of`. Raises IndexNotReady while the words of an index without a file of them are read.
        """
        searched = self._visible_part_of(folders or EVERYWHERE)
        if not searched:
            return NOTHING
        inside = () if "" in searched else searched
        return self._snapshot.words.search(text, k, folders=inside, among=among, also=also)

    def rows_having(self, text: str, *, folders: Collection[str] = (), among: Ids | None = None) -> Ids:
        """All pictures with the words between quotation marks (`WordIndex.having`). The rest as in `search_words`."""
        searched = self._visible_part_of(folders or EVERYWHERE)
        if not searched:
            return np.empty(0, np.int64)
        return self._snapshot.words.having(text, folders=() if "" in searched else searched, among=among)

    def nearest_rows(
        self, vectors: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[list[tuple[int, float]]]:
        """For each vector (Q, D) the k nearest pictures as `(row id, cosine)`, best first. The rest as in `search`.

        Raises VectorStoreUnavailable.
        """
        searched = self._visible_part_of(folders or EVERYWHERE)
        if not searched:
            return [[] for _ in vectors]
        return self._snapshot.search(vectors, k, folders=() if "" in searched else searched, among=among)

    def shows(self, folder: str) -> bool:
        """Whether the caller may see pictures of this folder."""
        return any(in_folder(folder, seen) for seen in self._scope)

    def _visible_part_of(self, folders: Collection[str]) -> set[str]:
        """The folders that lie both in `folders` and in the scope."""
        inside = {folder for folder in folders if self.shows(folder)}
        return inside | {seen for seen in self._scope if any(in_folder(seen, folder) for folder in folders)}
