"""Generations whose vectors lie in a collection of a vector server; the bucket holds metadata and journals.

Rows are written to the collection before the pointer is swapped, and readers look past rows that their state does not
list. A writer that dies in between leaves a row too many or too few, which the next index run finds and repairs. Only
a generation that is built from nothing makes a collection; the next ones go on in it.
"""

from dataclasses import replace

from app.catalog import layout as keys
from app.catalog import verified_files as files
from app.catalog.changes import Changes, Snapshot
from app.catalog.journal import journal_to_json
from app.catalog.metadata import read_metadata
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.storage.base import ObjectStore
from app.vectors.base import VectorServer, VectorStore

PREFIX = "image2search_"

METADATA_NAME = "image_metadata.json"


class ServedEngine:
    """A collection serves many generations, until a rebuild; an alias names the newest for whoever asks the server."""

    min_kept = 2

    def __init__(self, store: ObjectStore, server: VectorServer) -> None:
        self.name = server.engine
        self._store = store
        self._server = server

    def read(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        vectors = known.vectors if known and known.pointer.collection == pointer.collection else self._open(pointer)
        with files.scratch_folder() as folder:
            files.download_verified(self._store, pointer.files[0], folder / METADATA_NAME)
            base, skipped = read_metadata(folder / METADATA_NAME)
        return Snapshot(pointer, Records(base), vectors, skipped)

    def write(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        """The metadata comes first: by its place in the bucket, `forget` finds the collection of a writer that died."""
        collection = base.pointer.collection if base else collection_of(pointer)
        listing = changes.applied_to(base.records if base else Records(), base.skipped if base else {})
        with files.scratch_folder() as folder:
            path = folder / METADATA_NAME
            listing.records.save(path, listing.records.ids(), listing.skipped)
            metadata = files.upload(
                self._store, keys.metadata_key(pointer.generation), path, content_type="application/json"
            )
            records = Records(read_metadata(path)[0])
        vectors = base.vectors if base else self._server.create(collection, pointer.model.dimension)
        changes.write_to(vectors)
        pointer = replace(
            pointer, engine=self.name, collection=collection, files=(metadata,), accuracy=vectors.accuracy
        )
        return Snapshot(pointer, records, vectors, listing.skipped)

    def journal(self, base: Snapshot, changes: Changes) -> bytes:
        changes.write_to(base.vectors)
        return journal_to_json(changes, with_vectors=False)

    def is_outgrown(self, pointer: Pointer) -> bool:
        """The server sees to that."""
        return False

    def announce(self, pointer: Pointer) -> None:
        self._server.serve(pointer.collection, PREFIX + _model_of(pointer))

    def made_by(self, collection: str) -> str:
        return "-".join(collection.split("_")[-2:])

    def forget(self, generation: str) -> None:
        for collection in self._server.collections(PREFIX):
            if collection.endswith(_suffix_of(generation)):
                self._server.drop(collection)

    def _open(self, pointer: Pointer) -> VectorStore:
        return self._server.open(pointer.collection, pointer.model.dimension)


def collection_of(pointer: Pointer) -> str:
    """The name of a collection that this generation makes."""
    return PREFIX + _model_of(pointer) + _suffix_of(pointer.generation)


def _model_of(pointer: Pointer) -> str:
    return pointer.model.fingerprint[:16]


def _suffix_of(generation: str) -> str:
    return "_" + generation.replace("-", "_")
