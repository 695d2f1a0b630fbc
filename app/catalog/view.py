"""A snapshot narrowed to the folders that a caller may see. Services get a view, never a snapshot.

A picture outside of the folders is not found, not counted and not searched, so that no service has to remember the
scope. The scope comes from the caller's key; without one it is everything.
"""

from collections.abc import Collection, Mapping
from functools import cached_property

from app.catalog.snapshot import Snapshot
from app.errors import ImageNotFound
from app.types import ImageRecord, ModelIdentity, Vectors, folder_of, in_folder, row_id
from app.vectors.base import Accuracy

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
    def journal(self) -> int:
        """The number of the last journal; 0 for none."""
        return self._snapshot.pointer.journal

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
    def accuracy(self) -> Accuracy:
        return self._snapshot.vectors.accuracy

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """How many pictures lie directly in each folder, by folder path; the root is the empty path."""
        counts = self._snapshot.folders
        return counts if self._shows("") else {path: count for path, count in counts.items() if self._shows(path)}

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._snapshot.records) if self._shows("") else sum(self.folders.values())

    @property
    def skipped(self) -> int:
        """How many objects could not be read as pictures."""
        skips = self._snapshot.skipped.values()
        return sum(self._shows(folder_of(skip.object_key)) for skip in skips if not skip.kind)

    def record(self, image_id: str) -> ImageRecord:
        """Raises ImageNotFound."""
        try:
            record = self._snapshot.records.get(row_id(image_id))
        except (ValueError, OverflowError):
            record = None
        if record is None or record.image_id != image_id or not self._shows(record.folder):
            raise ImageNotFound(f"No indexed picture has the id {image_id!r}. Take ids from search results.")
        return record

    def vector(self, image_id: str) -> Vectors:
        """(D,) float32, unit length. Raises ImageNotFound, VectorStoreUnavailable."""
        row: Vectors = self._snapshot.vectors.get([row_id(self.record(image_id).image_id)])[0]
        return row

    def search(self, vector: Vectors, k: int, *, folders: Collection[str] = ()) -> list[tuple[ImageRecord, float]]:
        """The k pictures nearest to a vector (D,) with their cosines, best first.

        Only pictures in or below one of `folders` are searched; no folders means all that can be seen.
        Raises VectorStoreUnavailable.
        """
        searched = self._visible_part_of(folders or EVERYWHERE)
        if not searched:
            return []
        (hits,) = self._snapshot.search(vector[None], k, folders=() if "" in searched else searched)
        records = self._snapshot.records.take([row for row, _ in hits])
        return [(record, score) for record, (_, score) in zip(records, hits, strict=True)]

    def _shows(self, folder: str) -> bool:
        return any(in_folder(folder, seen) for seen in self._scope)

    def _visible_part_of(self, folders: Collection[str]) -> set[str]:
        """The folders that lie both in `folders` and in the scope."""
        inside = {folder for folder in folders if self._shows(folder)}
        return inside | {seen for seen in self._scope if any(in_folder(seen, folder) for folder in folders)}
