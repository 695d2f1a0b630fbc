"""Generations whose vectors lie in a collection of a vector server; the bucket holds metadata and journals.

Rows are written to the collection before the pointer is swapped, and readers skip rows that their state does not list.
A writer that dies in between leaves a row too many or too few, which the next index run finds and repairs. Only a
generation that is built from nothing makes a collection; later generations change that collection.

Two writers may write the same row. The one that loses the race may thereby replace the winner's newer vector, so it
removes its own vector again (`withdraw`): the picture then has none, and the next index run embeds it (docs/adr/0006).
"""

from dataclasses import replace

import numpy as np

from app.catalog import layout
from app.catalog.changes import Changes, journal_to_json
from app.catalog.metadata import read_metadata
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.catalog.snapshot import Snapshot
from app.catalog.verified_files import download_verified, scratch_folder, upload
from app.catalog.words import open_words, upload_words
from app.storage.base import ObjectStore
from app.types import Ids, Vectors
from app.vectors.base import VectorServer, VectorStore

PREFIX = "image2search_"

TOLERANCE = 1e-6
"""By which each value of a vector may differ after it went to a server and came back."""


class ServerBackend:
    """A collection serves many generations, until a rebuild. An alias names the newest one for other programs."""

    min_kept = 2

    def __init__(self, store: ObjectStore, server: VectorServer) -> None:
        self.engine = server.engine
        self._store = store
        self._server = server

    def load_generation(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        vectors = known.vectors if known and known.pointer.collection == pointer.collection else self._open(pointer)
        with scratch_folder() as folder:
            path, words_path = folder / layout.METADATA_NAME, folder / layout.WORDS_NAME
            download_verified(self._store, pointer.files[0], path)
            if pointer.words:
                download_verified(self._store, pointer.words, words_path)
            base, skipped = read_metadata(path)
            words = open_words(words_path if pointer.words else None, base)
        return Snapshot(pointer, Records(base), vectors, skipped, words)

    def write_generation(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        """The metadata is written first: if the writer dies, `forget` finds its collection by the metadata's key."""
        collection = base.pointer.collection if base else collection_of(pointer)
        listing = changes.applied_to(base.records if base else Records(), base.skipped if base else {})
        with scratch_folder() as folder:
            path, words_path, ids = folder / layout.METADATA_NAME, folder / layout.WORDS_NAME, listing.records.ids()
            listing.records.save(path, ids, listing.skipped)
            metadata = upload(
                self._store, layout.metadata_key(pointer.generation), path, content_type="application/json"
            )
            words = upload_words(self._store, pointer.generation, words_path, listing.records, ids)
            base_file = read_metadata(path)[0]
            searched = open_words(words_path, base_file)
        vectors = base.vectors if base else self._server.create(collection, pointer.model.dimension)
        changes.write_to(vectors)
        pointer = replace(
            pointer,
            engine=self.engine,
            collection=collection,
            files=(metadata,),
            words=words,
            accuracy=vectors.accuracy,
        )
        return Snapshot(pointer, Records(base_file), vectors, listing.skipped, searched)

    def prepare_journal(self, base: Snapshot, changes: Changes) -> bytes:
        changes.write_to(base.vectors)
        return journal_to_json(changes, with_vectors=False)

    def withdraw(self, current: Snapshot, given_up: Changes) -> None:
        """Remove rows that hold our vector although `current` lists another content, or no picture, under their id."""
        theirs = [current.records.get(row) for row in given_up.ids.tolist()]
        differs = [
            other is None or other.content_hash != ours.content_hash
            for ours, other in zip(given_up.added, theirs, strict=True)
        ]
        wrong = _rows_holding(current.vectors, given_up.ids[differs], given_up.vectors[differs]) if any(differs) else []
        if len(wrong):
            current.vectors.remove(wrong)

    def is_outgrown(self, pointer: Pointer) -> bool:
        """No: the server chooses the shape of its index."""
        return False

    def announce(self, pointer: Pointer) -> None:
        self._server.serve(pointer.collection, PREFIX + _model_of(pointer))

    def maker_of(self, collection: str) -> str:
        return "-".join(collection.split("_")[-2:])

    def forget(self, generation: str) -> None:
        for collection in self._server.collections(PREFIX):
            if collection.endswith(_suffix_of(generation)):
                self._server.drop(collection)

    def _open(self, pointer: Pointer) -> VectorStore:
        return self._server.open(pointer.collection, pointer.model.dimension)


def collection_of(pointer: Pointer) -> str:
    """The name of the collection that this generation makes."""
    return PREFIX + _model_of(pointer) + _suffix_of(pointer.generation)


def _rows_holding(store: VectorStore, ids: Ids, vectors: Vectors) -> list[int]:
    """Those of `ids` under which the store holds the given vector."""
    present = np.isin(ids, store.ids())
    found: list[int] = ids[present].tolist()
    try:
        held = store.get(found)
    except KeyError:  # Another writer has just removed one of them; without any of them we stay on the safe side.
        return found
    is_same = np.all(np.isclose(held, vectors[present], rtol=0, atol=TOLERANCE), axis=1)
    same: list[int] = ids[present][is_same].tolist()
    return same


def _model_of(pointer: Pointer) -> str:
    return pointer.model.fingerprint[:16]


def _suffix_of(generation: str) -> str:
    return "_" + generation.replace("-", "_")
