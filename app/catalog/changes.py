"""What one publication changes, and the state it leads to."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from app.catalog.pointer import Pointer
from app.types import ImageRecord, Skip, Vectors, row_id
from app.vectors.faiss_store import FaissStore


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

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.skipped or self.forgotten)


@dataclass(frozen=True)
class Snapshot:
    """One loaded generation. Immutable: a search reads one snapshot from start to end."""

    pointer: Pointer
    records: Mapping[int, ImageRecord]
    """By row id."""
    vectors: FaissStore
    skipped: Mapping[str, Skip]
    """By object key."""

    @classmethod
    def empty(cls, pointer: Pointer) -> "Snapshot":
        return cls(pointer, {}, FaissStore(pointer.model.dimension), {})

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """Pictures directly in each folder, by folder path."""
        return Counter(record.folder for record in self.records.values())

    def apply(self, changes: Changes) -> "Snapshot":
        """The state after `changes`; this one stays as it is."""
        gone = {row_id(image_id) for image_id in changes.removed}
        added = {row_id(record.image_id): record for record in changes.added}
        readable = changes.forgotten | {record.object_key for record in changes.added}
        vectors = self.vectors.copy()
        vectors.remove(gone)
        if added:
            ids = np.fromiter(added, np.int64, len(added))
            vectors.add(ids, changes.vectors, [record.folder for record in changes.added])
        return replace(
            self,
            records={row: record for row, record in self.records.items() if row not in gone} | added,
            vectors=vectors,
            skipped={key: skip for key, skip in self.skipped.items() if key not in readable}
            | {skip.object_key: skip for skip in changes.skipped},
        )
