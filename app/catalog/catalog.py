"""Publishing and loading generations: the truth of what is indexed.

Write order is files first, pointer last, so that a writer killed anywhere leaves the old state or the new one. The
pointer is replaced by compare-and-swap; a writer that loses reads the winner's state, applies its own changes on top
and tries again, so that both are kept. Files under a published name are never written again.
"""

import logging
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from app.catalog import files, keys
from app.catalog.changes import Changes, Snapshot
from app.catalog.files import Metadata
from app.catalog.pointer import Pointer, generation_name, new_token, read_pointer, swap_pointer
from app.errors import IndexCorrupt, IndexMismatch, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.types import ModelIdentity, row_id
from app.vectors.faiss_store import FaissStore

log = logging.getLogger(__name__)

PUBLISH_ATTEMPTS = 20
"""Lost races in a row after which publishing gives up; each one means that another writer got through."""


class _Published(NamedTuple):
    """What a writer found in the bucket and would replace."""

    snapshot: Snapshot | None
    """None where nothing is published, or nothing that can be read."""
    etag: str | None
    """Of the pointer; None where there is none."""
    number: int
    """Of the newest generation."""
    kept: tuple[str, ...]
    """Generations that may still be read, newest first."""


class Catalog:
    """Reads and writes the generations of one bucket. Thread-safe: it keeps no state of its own."""

    def __init__(self, store: ObjectStore, settings: IndexSettings) -> None:
        self._store = store
        self._settings = settings

    def pointer(self) -> Pointer | None:
        """What is published, for one small read; None for nothing. Raises IndexCorrupt, StorageUnavailable."""
        found = read_pointer(self._store)
        return found[0] if found else None

    def load(self, known: Snapshot | None = None) -> Snapshot | None:
        """The published state, verified; `known` itself while that is current; None before the first publication.

        From `known` on, only what is new is read. Raises IndexCorrupt, StorageUnavailable.
        """
        found = self._load(known)
        return found[0] if found else None

    def publish(
        self, changes: Changes, model: ModelIdentity, *, rebuild: bool = False, since: Snapshot | None = None
    ) -> Snapshot:
        """Apply `changes` on top of whatever is current, publish, and return the state that it made.

        `since` is the state that the changes were planned from (None: nothing was published); handing it over saves
        reading it again. `rebuild` starts from nothing, whatever the current state is and whatever model made it; rows
        that others of the same model added after `since` are kept.
        Raises IndexMismatch when the current state is another model's, IndexCorrupt when it can't be read (neither
        in a rebuild), StorageUnavailable, PreconditionFailed after `PUBLISH_ATTEMPTS` lost races.
        """
        known = since
        for _ in range(PUBLISH_ATTEMPTS):
            published = self._published(known, rebuild)
            known = published.snapshot
            try:
                snapshot = self._write(published, changes, model, rebuild=rebuild, since=since)
            except PreconditionFailed:
                # Its files stay: should the writing have gone through after all, a later pointer relies on them.
                log.info("Another writer published first; applying the changes on top of its state.")
                continue
            self._prune(snapshot.pointer)
            return snapshot
        raise PreconditionFailed(
            f"Lost {PUBLISH_ATTEMPTS} races for {keys.POINTER_KEY} in a row. Run fewer writers at once."
        )

    def _published(self, known: Snapshot | None, rebuild: bool) -> _Published:
        try:
            found = self._load(known)
        except IndexCorrupt as error:
            if not rebuild:
                raise
            log.warning("The current index can't be read and is replaced: %s", error)
            return self._unreadable()
        if found is None:
            return _Published(None, None, 0, ())
        pointer = found[0].pointer
        kept = (pointer.generation, *pointer.previous)
        return _Published(found[0], found[1], keys.generation_number(pointer.generation), kept)

    def _unreadable(self) -> _Published:
        """A damaged pointer or generation: just enough to be replaced. What lies there is kept, as for a good one."""
        try:
            etag = self._store.head(keys.POINTER_KEY).etag
        except ObjectNotFound:
            etag = None
        found = {keys.generation_of(info.key) for info in self._store.list(keys.INDEX_PREFIX)}
        newest_first = sorted((name for name in found if name), key=keys.generation_number, reverse=True)
        number = keys.generation_number(newest_first[0]) if newest_first else 0
        return _Published(None, etag, number, tuple(newest_first))

    def _load(self, known: Snapshot | None) -> tuple[Snapshot, str] | None:
        while True:
            found = read_pointer(self._store)
            if found is None:
                return None
            pointer, etag = found
            if known is not None and known.pointer.token == pointer.token:
                return known, etag
            try:
                return self._read(pointer, known), etag
            except IndexCorrupt:
                latest = read_pointer(self._store)
                if latest is None or latest[0].token == pointer.token:
                    raise

    def _read(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        if known is not None and pointer.files[: len(known.pointer.files)] == known.pointer.files:
            snapshot, journals = known, pointer.files[len(known.pointer.files) :]
        else:
            snapshot, journals = self._read_generation(pointer), pointer.files[2:]
        for entry in journals:
            snapshot = snapshot.apply(files.journal_from_json(files.read_verified(self._store, entry)))
        if len(snapshot.records) != pointer.count or len(snapshot.vectors) != pointer.count:
            raise IndexCorrupt(
                f"Generation {pointer.generation} holds {len(snapshot.vectors)} vectors and {len(snapshot.records)} "
                f"records where the pointer says {pointer.count}. Index again with --rebuild."
            )
        return replace(snapshot, pointer=pointer)

    def _read_generation(self, pointer: Pointer) -> Snapshot:
        index_entry, metadata_entry = pointer.files[:2]
        metadata = Metadata.from_json(files.read_verified(self._store, metadata_entry))
        with files.scratch_file("image_faiss_index.bin") as path:
            files.download_verified(self._store, index_entry, path)
            try:
                vectors = FaissStore.load(path, lambda row: metadata.records[row].folder)
            except KeyError as error:
                raise IndexCorrupt(
                    f"{index_entry.key} holds a vector that {metadata_entry.key} does not list. {files.REMEDY}"
                ) from error
        return Snapshot(pointer, metadata.records, vectors, metadata.skipped)

    def _write(
        self, published: _Published, changes: Changes, model: ModelIdentity, *, rebuild: bool, since: Snapshot | None
    ) -> Snapshot:
        """Write the files, then swap the pointer. Raises PreconditionFailed."""
        current = published.snapshot
        if rebuild:
            snapshot = self._write_generation(None, _carried_over(changes, current, since, model), model, published)
        elif current is None or not self._fits_journal(current.pointer, changes):
            _check_model(current, model)
            snapshot = self._write_generation(current, changes, model, published)
        else:
            _check_model(current, model)
            snapshot = self._append_journal(current, changes)
        swap_pointer(self._store, snapshot.pointer, published.etag)
        return snapshot

    def _fits_journal(self, pointer: Pointer, changes: Changes) -> bool:
        journals = len(pointer.files) - 2
        rows = len(changes.added) + len(changes.removed)
        return rows <= self._settings.journal_max_rows and journals < self._settings.journal_max_files

    def _append_journal(self, base: Snapshot, changes: Changes) -> Snapshot:
        body = files.journal_to_json(changes)
        number = base.pointer.journal + 1
        while True:
            try:
                entry = files.upload_json(
                    self._store, keys.journal_key(base.pointer.generation, number), body, create=True
                )
                break
            except PreconditionFailed:
                number += (
                    1  # Left by a writer that died or is about to lose: its name is taken, its content is nobody's.
                )
        pointer = replace(base.pointer, journal=number, files=(*base.pointer.files, entry))
        return _finished(replace(base.apply(changes), pointer=pointer))

    def _write_generation(
        self, base: Snapshot | None, changes: Changes, model: ModelIdentity, published: _Published
    ) -> Snapshot:
        generation = generation_name(published.number + 1)
        previous = published.kept[: self._settings.keep_generations - 1]
        pointer = Pointer(generation, "", model, 0, 0, 0.0, (), previous)
        snapshot = (base or Snapshot.empty(pointer)).apply(changes)
        with files.scratch_file("image_faiss_index.bin") as path:
            snapshot.vectors.save(path)
            index_entry = files.upload(self._store, keys.index_key(generation), path)
            vectors = FaissStore.load(path, lambda row: snapshot.records[row].folder)
        metadata = Metadata(snapshot.records, snapshot.skipped).to_json()
        metadata_entry = files.upload_json(self._store, keys.metadata_key(generation), metadata)
        pointer = replace(pointer, files=(index_entry, metadata_entry))
        return _finished(replace(snapshot, vectors=vectors, pointer=pointer))

    def _prune(self, pointer: Pointer) -> None:
        """Delete generations that are no longer kept, and what dead writers left behind.

        A writer that is still uploading under a number up to ours has already lost: the pointer moved under it.
        """
        kept, newest = {pointer.generation, *pointer.previous}, keys.generation_number(pointer.generation)
        try:
            for info in list(self._store.list(keys.INDEX_PREFIX)):
                generation = keys.generation_of(info.key)
                if generation and generation not in kept and keys.generation_number(generation) <= newest:
                    self._store.delete(info.key)
        except StorageUnavailable as error:
            log.warning("Old generations could not be deleted, the next publication will: %s", error)


def _finished(snapshot: Snapshot) -> Snapshot:
    """The state under a pointer of its own, ready to be published."""
    pointer = replace(snapshot.pointer, token=new_token(), count=len(snapshot.records), created_at=time.time())
    return replace(snapshot, pointer=pointer)


def _check_model(current: Snapshot | None, model: ModelIdentity) -> None:
    if current is not None and current.pointer.model.fingerprint != model.fingerprint:
        raise IndexMismatch(mismatch_message(current.pointer.model, model))


def mismatch_message(indexed: ModelIdentity, loaded: ModelIdentity) -> str:
    return (
        f"The index was made by {indexed.name} ({indexed.fingerprint}), the loaded model is {loaded.name} "
        f"({loaded.fingerprint}): their vectors can't be compared. Set MODEL back, or make a new index with "
        f"`image2search index --rebuild`."
    )


def _carried_over(changes: Changes, current: Snapshot | None, since: Snapshot | None, model: ModelIdentity) -> Changes:
    """`changes` of a rebuild, with the rows that other writers of the same model added while it ran."""
    if current is None or current.pointer.model.fingerprint != model.fingerprint:
        return changes
    planned = since.records if since else {}
    rebuilt = {row_id(record.image_id) for record in changes.added}
    newer = {
        row: record for row, record in current.records.items() if row not in rebuilt and record != planned.get(row)
    }
    vectors = np.concatenate([changes.vectors.reshape(-1, model.dimension), current.vectors.get(list(newer))])
    return replace(changes, added=(*changes.added, *newer.values()), vectors=vectors)
