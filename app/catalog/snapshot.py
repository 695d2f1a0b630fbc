"""One loaded state of the index, and how it differs from what a vector server holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from app.catalog.changes import Changes
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.catalog.words import changed_words
from app.types import Ids, Skip, Vectors
from app.vectors.base import VectorStore
from app.words.index import WordIndex


@dataclass(frozen=True)
class Snapshot:
    """One loaded generation. Immutable: a search reads one snapshot from start to end."""

    pointer: Pointer
    records: Records
    """By row id."""
    vectors: VectorStore
    """A vector server may hold rows that only another state lists, and lack rows that this state lists."""
    skipped: Mapping[str, Skip]
    """By object key."""
    words: WordIndex
    """Of the pictures that `records` list."""

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """Pictures directly in each folder, by folder path."""
        return self.records.folder_counts()

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(row id, score)` that the records list, best first.

        As `VectorStore.search`. A vector server is asked for more hits while rows of other states take up places.
        """
        if not self.pointer.collection:
            return self.vectors.search(queries, k, folders=folders, among=among)
        wanted = k
        while True:
            found = self.vectors.search(queries, wanted, folders=folders, among=among)
            listed = [[hit for hit in hits if hit[0] in self.records][:k] for hits in found]
            if all(len(ours) == k or len(hits) < wanted for ours, hits in zip(listed, found, strict=True)):
                return listed
            wanted *= 4

    def apply(self, changes: Changes) -> "Snapshot":
        """The state after `changes`. This snapshot and the rows in a vector server stay as they are."""
        listing = changes.applied_to(self.records, self.skipped)
        vectors = self.vectors
        if not self.pointer.collection:
            vectors = vectors.copy()
            changes.write_to(vectors)
        words = changed_words(self.words, changes)
        return replace(self, records=listing.records, vectors=vectors, skipped=listing.skipped, words=words)


@dataclass(frozen=True)
class Drift:
    """Row ids over which a vector server and the published state disagree, because a writer died between the two."""

    missing: frozenset[int] = frozenset()
    """Listed, but without a vector: no search finds them until their pictures are read again."""
    extra: frozenset[int] = frozenset()
    """With a vector, but not listed: another writer may be about to list them."""


def drift_of(snapshot: Snapshot) -> Drift:
    """Compare the ids of the collection with those of the records; no drift where the bucket has the vectors.

    Raises VectorStoreUnavailable.
    """
    if not snapshot.pointer.collection:
        return Drift()
    listed, held = snapshot.records.ids(), snapshot.vectors.ids()
    return Drift(
        missing=frozenset(np.setdiff1d(listed, held).tolist()), extra=frozenset(np.setdiff1d(held, listed).tolist())
    )
