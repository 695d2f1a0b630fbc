"""Publishing, loading and folding generations: the truth of what is indexed.

Write order is files first, pointer last, so that a writer killed anywhere leaves the old state or the new one. The
pointer is replaced by compare-and-swap; a writer that loses reads the winner's state, applies its own changes on top
and tries again, so that both are kept. Files under a published name are never written again.
"""

import logging
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from app.catalog import layout as keys
from app.catalog import verified_files as files
from app.catalog.backend import Engine
from app.catalog.bucket_backend import EmbeddedEngine
from app.catalog.changes import Changes, Snapshot
from app.catalog.journal import journal_from_json
from app.catalog.pointer import (
    FileEntry,
    Kept,
    Pointer,
    generation_name,
    new_token,
    read_pointer,
    swap_pointer,
)
from app.catalog.server_backend import ServedEngine
from app.errors import IndexCorrupt, IndexMismatch, ObjectNotFound, PreconditionFailed, Unavailable
from app.settings import IndexSettings, VectorSettings
from app.storage.base import ObjectStore
from app.types import ModelIdentity, row_id
from app.vectors.base import VectorServer

log = logging.getLogger(__name__)

PUBLISH_ATTEMPTS = 20
"""Lost races in a row after which publishing gives up; each one means that another writer got through."""

FOLD_ATTEMPTS = 5
"""Likewise for folding, which the next run can do as well."""

CROWDED = 4
"""So many times what makes folding due, journals are folded by whoever publishes: nobody else seems to."""


class _Published(NamedTuple):
    """What a writer found in the bucket and would replace."""

    snapshot: Snapshot | None
    """None where nothing is published, or nothing that can be read."""
    etag: str | None
    """Of the pointer; None where there is none."""
    number: int
    """Of the newest generation."""
    kept: tuple[Kept, ...]
    """Generations that may still be read, newest first."""


class Catalog:
    """Reads and writes the generations of one bucket. Thread-safe: it keeps no state of its own."""

    def __init__(
        self,
        store: ObjectStore,
        settings: IndexSettings,
        *,
        vectors: VectorSettings | None = None,
        server: VectorServer | None = None,
    ) -> None:
        """`server` is the one that `vectors.store` names; None for FAISS."""
        self._store = store
        self._settings = settings
        self._engine: Engine = (
            ServedEngine(store, server) if server else EmbeddedEngine(store, vectors or VectorSettings())
        )

    def pointer(self) -> Pointer | None:
        """What is published, for one small read; None for nothing. Raises IndexCorrupt, StorageUnavailable."""
        found = read_pointer(self._store)
        return found[0] if found else None

    def load(self, known: Snapshot | None = None) -> Snapshot | None:
        """The published state, verified; `known` itself while that is current; None before the first publication.

        From `known` on, only what is new is read. Raises IndexMismatch when another engine has the vectors,
        IndexCorrupt, StorageUnavailable, VectorStoreUnavailable.
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
        Raises IndexMismatch when the current state is another model's or engine's, IndexCorrupt when it can't be read
        (neither in a rebuild), StorageUnavailable, VectorStoreUnavailable, PreconditionFailed after
        `PUBLISH_ATTEMPTS` lost races.
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
            self._tidy_up(snapshot.pointer)
            return snapshot
        raise PreconditionFailed(
            f"Lost {PUBLISH_ATTEMPTS} races for {keys.POINTER_KEY} in a row. Run fewer writers at once."
        )

    def needs_folding(self, pointer: Pointer) -> bool:
        """Whether journals hold enough to be worth a new generation, or the index wants another shape."""
        limits = self._settings
        is_long = pointer.journal_rows > limits.journal_max_rows or len(pointer.journals) > limits.journal_max_files
        return is_long or self._engine.is_outgrown(pointer)

    def fold(self, known: Snapshot) -> Snapshot:
        """If it is time to, write a new generation that holds what the journals do; return the state in the end.

        What others append meanwhile goes along. After `FOLD_ATTEMPTS` lost races it is left to the next run.
        Raises IndexMismatch, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable.
        """
        published = self._published(known, rebuild=False)
        current = published.snapshot
        if current is None or not self.needs_folding(current.pointer):
            return current or known
        folded = self._write_generation(current, Changes(), current.pointer.model, published)
        for _ in range(FOLD_ATTEMPTS):
            try:
                swap_pointer(self._store, folded.pointer, published.etag)
            except PreconditionFailed:
                published = self._published(current, rebuild=False)
                winner = published.snapshot or current
                later = _appended_between(current.pointer, winner.pointer)
                if later is None:
                    break
                folded, current = self._append(folded, later), winner
                folded = _made_with(folded, set(winner.pointer.made_with))
            else:
                self._tidy_up(folded.pointer)
                return folded
        log.info("Other writers published while journals were folded; the next run will fold them.")
        return published.snapshot or known

    def _append(self, folded: Snapshot, later: tuple[FileEntry, ...]) -> Snapshot:
        """`folded` with these journals of the generation that it was made from."""
        for entry in later:
            body = files.read_verified(self._store, entry)
            folded = self._with_journal(folded, journal_from_json(body), body)
        return folded

    def _published(self, known: Snapshot | None, rebuild: bool) -> _Published:
        try:
            found = self._load(known)
        except (IndexCorrupt, IndexMismatch) as error:
            if not rebuild:
                raise
            log.warning("The current index can't be read and is replaced: %s", error)
            return self._unreadable()
        if found is None:
            return _Published(None, None, 0, ())
        pointer = found[0].pointer
        kept = pointer.used
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
        return _Published(None, etag, number, tuple(Kept(name) for name in newest_first))

    def _load(self, known: Snapshot | None) -> tuple[Snapshot, str] | None:
        while True:
            found = read_pointer(self._store)
            if found is None:
                return None
            pointer, etag = found
            self._check_engine(pointer)
            if known is not None and known.pointer.token == pointer.token:
                return known, etag
            try:
                return self._read(pointer, known), etag
            except IndexCorrupt:
                latest = read_pointer(self._store)
                if latest is None or latest[0].token == pointer.token:
                    raise

    def _check_engine(self, pointer: Pointer) -> None:
        if pointer.engine != self._engine.name:
            raise IndexMismatch(
                f"The index keeps its vectors in {pointer.engine}, and VECTOR_STORE={self._engine.name} looks "
                f"elsewhere. Set VECTOR_STORE={pointer.engine} back, or make a new index with `image2search index "
                f"--rebuild`."
            )

    def _read(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        journals = _appended_between(known.pointer, pointer) if known else None
        if known is None or journals is None:
            snapshot, journals = self._engine.read(pointer, known), pointer.journals
        else:
            snapshot = known
        for entry in journals:
            snapshot = snapshot.apply(journal_from_json(files.read_verified(self._store, entry)))
        vectors = pointer.count if pointer.collection else len(snapshot.vectors)
        if not len(snapshot.records) == vectors == pointer.count:
            raise IndexCorrupt(
                f"Generation {pointer.generation} holds {vectors} vectors and {len(snapshot.records)} records where "
                f"the pointer says {pointer.count}. Index again with --rebuild."
            )
        return replace(snapshot, pointer=pointer)

    def _write(
        self, published: _Published, changes: Changes, model: ModelIdentity, *, rebuild: bool, since: Snapshot | None
    ) -> Snapshot:
        """Write the files, then swap the pointer. Raises PreconditionFailed."""
        current = published.snapshot
        made_with = {model.arithmetic} if changes.added else set()
        if rebuild:
            changes = _carried_over(changes, current, since, model)
            if current and changes.copied:
                made_with |= set(current.pointer.made_with)
            snapshot = self._write_generation(None, changes, model, published)
        elif current is None or not self._fits_journal(current.pointer, changes):
            _check_model(current, model)
            snapshot = self._write_generation(current, changes, model, published)
        else:
            _check_model(current, model)
            snapshot = self._with_journal(current, changes, self._engine.journal(current, changes))
        snapshot = _made_with(snapshot, made_with)
        swap_pointer(self._store, snapshot.pointer, published.etag)
        return snapshot

    def _fits_journal(self, pointer: Pointer, changes: Changes) -> bool:
        most_rows, most_files = self._settings.journal_max_rows, self._settings.journal_max_files
        return (
            changes.rows <= most_rows
            and pointer.journal_rows + changes.rows <= CROWDED * most_rows
            and len(pointer.journals) < CROWDED * most_files
        )

    def _with_journal(self, base: Snapshot, changes: Changes, body: bytes) -> Snapshot:
        number = base.pointer.journal + 1
        while True:
            try:
                key = keys.journal_key(base.pointer.generation, number)
                entry = files.upload_json(self._store, key, body, create=True)
                break
            except PreconditionFailed:
                number += 1  # Left by a writer that died or is about to lose: its name is taken, its content nobody's.
        pointer = replace(
            base.pointer,
            journal=number,
            journals=(*base.pointer.journals, entry),
            journal_rows=base.pointer.journal_rows + changes.rows,
        )
        return _finished(replace(base.apply(changes), pointer=pointer))

    def _write_generation(
        self, base: Snapshot | None, changes: Changes, model: ModelIdentity, published: _Published
    ) -> Snapshot:
        generation = generation_name(published.number + 1)
        previous = published.kept[: max(self._settings.keep_generations, self._engine.min_kept) - 1]
        made_with = base.pointer.made_with if base else ()
        pointer = Pointer(generation, "", model, 0, 0, 0.0, (), previous=previous, made_with=made_with)
        return _finished(self._engine.write(pointer, base, changes))

    def _tidy_up(self, pointer: Pointer) -> None:
        """After a publication. What fails here, the next one makes up for."""
        try:
            if not pointer.journals:
                self._engine.announce(pointer)
            self._prune(pointer)
        except Unavailable as error:
            log.warning("Old generations could not be deleted, the next publication will: %s", error)

    def _prune(self, pointer: Pointer) -> None:
        """Delete generations that are no longer kept, and what dead writers left behind.

        A writer that is still uploading under a number up to ours has already lost: the pointer moved under it.
        Kept is also the metadata of a generation whose collection is in use: it says where that comes from.
        """
        newest = keys.generation_number(pointer.generation)
        kept = {name for used in pointer.used for name in (used.generation, self._engine.made_by(used.collection))}
        unused: dict[str, list[str]] = {}
        for info in self._store.list(keys.INDEX_PREFIX):
            generation = keys.generation_of(info.key)
            if generation and generation not in kept and keys.generation_number(generation) <= newest:
                unused.setdefault(generation, []).append(info.key)
        for generation, names in unused.items():
            self._engine.forget(generation)
            for key in names:
                self._store.delete(key)


def _appended_between(earlier: Pointer, later: Pointer) -> tuple[FileEntry, ...] | None:
    """The journals by which `later` goes beyond `earlier`; None when it took another turn."""
    have = len(earlier.journals)
    goes_on = earlier.files == later.files and earlier.journals == later.journals[:have]
    return later.journals[have:] if goes_on else None


def _finished(snapshot: Snapshot) -> Snapshot:
    """The state under a pointer of its own, ready to be published."""
    pointer = replace(snapshot.pointer, token=new_token(), count=len(snapshot.records), created_at=time.time())
    return replace(snapshot, pointer=pointer)


def _made_with(snapshot: Snapshot, more: set[str]) -> Snapshot:
    """The same with `more` among the arithmetics that made it."""
    made_with = tuple(sorted({*snapshot.pointer.made_with, *more}))
    return replace(snapshot, pointer=replace(snapshot.pointer, made_with=made_with))


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
    return replace(
        changes, added=(*changes.added, *newer.values()), vectors=vectors, copied=changes.copied or bool(newer)
    )
