"""What one publication changes, and the state it leads to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.types import ImageRecord, Skip, Vectors, row_id
from app.vectors.base import VectorStore
from app.vectors.faiss.store import FaissStore


@dataclass(frozen=True)
class Changes:
    """Rows to insert or replace, rows to drop, and what could not be read. Applied twice it changes nothing more."""

    added: tuple[ImageRecord, ...] = ()
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(len(added), D) unit rows, in the order of `added`."""
    removed: frozenset[str] = frozenset()
    """Image ids."""
    skipped: tuple[Skip, ...] = ()
    forgotten: frozenset[str] = frozenset()
    """Object keys whose skip entry is dropped: the object is gone, or can be read now."""
    copied: bool = False
    """Whether some of the vectors were taken over from the index as it is."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.skipped or self.forgotten)

    @property
    def rows(self) -> int:
        """How many rows are written or dropped."""
        return len(self.added) + len(self.removed)

    def applied_to(self, records: Records, skipped: Mapping[str, Skip]) -> "Listing":
        """What is listed after these changes."""
        gone = {row_id(image_id) for image_id in self.removed}
        added = {row_id(record.image_id): record for record in self.added}
        readable = self.forgotten | {record.object_key for record in self.added}
        return Listing(
            records.changed(added, gone),
            {key: skip for key, skip in skipped.items() if key not in readable}
            | {skip.object_key: skip for skip in self.skipped},
        )

    def write_to(self, vectors: VectorStore) -> None:
        """Drop and insert the rows in `vectors` itself."""
        ids = np.fromiter((row_id(record.image_id) for record in self.added), np.int64, len(self.added))
        gone = {row_id(image_id) for image_id in self.removed} - set(ids.tolist())
        if gone:
            vectors.remove(gone)
        if len(ids):
            vectors.add(ids, self.vectors, [record.folder for record in self.added])


class Listing(NamedTuple):
    """Which pictures there are, without their vectors."""

    records: Records
    """By row id."""
    skipped: Mapping[str, Skip]
    """By object key."""


@dataclass(frozen=True)
class Snapshot:
    """One loaded generation. Immutable: a search reads one snapshot from start to end."""

    pointer: Pointer
    records: Records
    """By row id."""
    vectors: VectorStore
    """Where a server keeps them, it may hold rows that another state lists, and lack rows that this one does."""
    skipped: Mapping[str, Skip]
    """By object key."""

    @classmethod
    def empty(cls, pointer: Pointer) -> "Snapshot":
        return cls(pointer, Records(), FaissStore(pointer.model.dimension), {})

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """Pictures directly in each folder, by folder path."""
        return self.records.folder_counts()

    def search(self, queries: Vectors, k: int, *, folders: Collection[str] = ()) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(row id, score)` that the records list, best first.

        As `VectorStore.search`; a server is asked for more while rows of other states take places.
        """
        if not self.pointer.collection:
            return self.vectors.search(queries, k, folders=folders)
        wanted = k
        while True:
            found = self.vectors.search(queries, wanted, folders=folders)
            listed = [[hit for hit in hits if hit[0] in self.records][:k] for hits in found]
            if all(len(ours) == k or len(hits) < wanted for ours, hits in zip(listed, found, strict=True)):
                return listed
            wanted *= 4

    def apply(self, changes: Changes) -> "Snapshot":
        """The state after `changes`; this one stays as it is, and so does what a server holds."""
        listing = changes.applied_to(self.records, self.skipped)
        vectors = self.vectors
        if not self.pointer.collection:
            vectors = vectors.copy()
            changes.write_to(vectors)
        return replace(self, records=listing.records, vectors=vectors, skipped=listing.skipped)
