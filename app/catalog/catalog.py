"""Publishing, loading and folding generations: what is published here is what is indexed.

Files are written first and the pointer last, so a writer killed anywhere leaves the old state or the new one. The
pointer is replaced by compare-and-swap. A writer that loses reads the winner's state, lays its own changes on top
(`merge`) and tries again, so both are kept. A published file is never written again.
"""

import logging
import random
import time
from dataclasses import replace
from enum import Enum
from typing import Literal, Protocol

from app.catalog import layout
from app.catalog.backend import Backend
from app.catalog.changes import Changes, journal_from_json
from app.catalog.hubs import Examination
from app.catalog.merge import appended_between, rebase, rebase_rebuild, rebase_to_other_model
from app.catalog.pointer import FileEntry, Pointer, generation_name, new_token, read_pointer, swap_pointer
from app.catalog.reading import Published, PublishedReader
from app.catalog.snapshot import Snapshot
from app.catalog.verified_files import read_verified, upload_json
from app.errors import IndexMismatch, PreconditionFailed, Unavailable
from app.settings import IndexSettings
from app.storage.base import KEYS_ONLY, ObjectStore
from app.types import ModelIdentity

log = logging.getLogger(__name__)

PUBLISH_ATTEMPTS = 100
"""Lost races in a row after which publishing gives up; each one means that another writer got through."""

MAX_PAUSE_S = 0.5
"""Longest pause after a lost race. Pauses are random and grow with the losses, so that a crowd of writers spreads out
and each one gets through."""

FOLD_ATTEMPTS = 5
"""Lost races in a row after which folding is left to the next run."""

CROWDED = 4
"""At this many times the folding limits, the publisher folds the journals itself: no indexer seems to be running."""


class PlannedFrom(Enum):
    """The state that changes were planned from, where the caller has no snapshot of it."""

    CURRENT = "current"
    """The state that is published when `publish` begins."""


class Catalog:
    """Reads and writes the generations of one bucket. Thread-safe: it keeps no state of its own."""

    def __init__(self, store: ObjectStore, settings: IndexSettings, backend: Backend) -> None:
        """`backend` keeps the vectors: in the bucket, or in a vector server."""
        self._store = store
        self._settings = settings
        self._backend = backend
        self._reader = PublishedReader(store, backend)

    def pointer(self) -> Pointer | None:
        """The published pointer, for one small read; None before the first publication.

        Raises IndexCorrupt, StorageUnavailable.
        """
        found = read_pointer(self._store)
        return found[0] if found else None

    def load(self, known: Snapshot | None = None) -> Snapshot | None:
        """The published state, verified; `known` itself while that is current; None before the first publication.

        Only what is new since `known` is read. Raises IndexMismatch when another engine has the vectors,
        IndexCorrupt, StorageUnavailable, VectorStoreUnavailable.
        """
        found = self._reader.load(known)
        return found[0] if found else None

    def load_earlier(self, generation: str, journal: int) -> Snapshot | None:
        """The state after a journal (0: before the first one) of the generation that is published; None: it is gone.

        Vector servers keep no earlier state. Raises IndexCorrupt, IndexMismatch, StorageUnavailable.
        """
        return self._reader.load_earlier(generation, journal)

    def publish(
        self,
        changes: Changes,
        model: ModelIdentity,
        *,
        since: Snapshot | Literal[PlannedFrom.CURRENT] | None = PlannedFrom.CURRENT,
        rebuild: bool = False,
    ) -> Snapshot:
        """Publish `changes` on top of the current state and return the state that this makes.

        `since` is the state that the changes were planned from; None means that nothing was published then. At every
        attempt, what other writers did since is merged with the changes (`merge`): an older row never replaces a newer
        one. If nothing is left to publish, the current state is returned.

        `rebuild` replaces the whole index, also one of another model and one that can't be read. Rows that others of
        the same model changed after `since` are kept.

        Raises IndexMismatch when the current state is another model's or engine's and IndexCorrupt when it can't be
        read (a rebuild raises neither), StorageUnavailable, VectorStoreUnavailable, and PreconditionFailed after
        `PUBLISH_ATTEMPTS` lost races.
        """
        known = None if since is PlannedFrom.CURRENT else since
        for attempt in range(PUBLISH_ATTEMPTS):
            published = self._reader.published(known, rebuild)
            known = published.snapshot
            if since is PlannedFrom.CURRENT:
                since = known
            if rebuild:
                left = self._rebased_rebuild(changes, model, since, known)
            else:
                left = self._rebased(changes, model, since, known)
                if known is not None and not left:
                    return known
            try:
                snapshot = self._write(published, left, model, rebuild=rebuild)
            except PreconditionFailed:
                # Its files stay: if the write went through after all, a later pointer relies on them.
                log.info("Another writer published first; applying the changes on top of its state.")
                time.sleep(random.uniform(0, min(MAX_PAUSE_S, 0.002 * 2**attempt)))  # noqa: S311 - no secret
                continue
            self._tidy_up(snapshot.pointer)
            return snapshot
        raise PreconditionFailed(
            f"Lost {PUBLISH_ATTEMPTS} races for {layout.POINTER_KEY} in a row. Run fewer writers at once."
        )

    def needs_folding(self, pointer: Pointer) -> bool:
        """Whether the journals are long enough for a new generation, or another index shape would fit better."""
        limits = self._settings
        is_long = pointer.journal_rows > limits.journal_max_rows or len(pointer.journals) > limits.journal_max_files
        return is_long or self._backend.is_outgrown(pointer)

    def fold(self, known: Snapshot) -> Snapshot:
        """If folding is due, write a new generation that includes the journals; return the state in the end.

        Journals that others append meanwhile are kept. After `FOLD_ATTEMPTS` lost races the next run folds instead.
        Raises IndexMismatch, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable.
        """
        published = self._reader.published(known, rebuild=False)
        current = published.snapshot
        if current is None or not self.needs_folding(current.pointer):
            return current or known
        folded = self._write_generation(current, Changes(), current.pointer.model, published)
        for _ in range(FOLD_ATTEMPTS):
            try:
                swap_pointer(self._store, folded.pointer, published.etag)
            except PreconditionFailed:
                published = self._reader.published(current, rebuild=False)
                winner = published.snapshot or current
                later = appended_between(current.pointer, winner.pointer)
                if later is None:
                    break
                folded, current = self._append(folded, later), winner
                folded = _made_with(folded, set(winner.pointer.made_with))
            else:
                self._tidy_up(folded.pointer)
                return folded
        log.info("Other writers published while journals were folded; the next run will fold them.")
        return published.snapshot or known

    def keep_examination(self, known: Snapshot, examination: Examination | None) -> Snapshot:
        """Say with the generation of `known` what was found out about its hubs; return the state in the end.

        Another generation, or one that is published meanwhile, is left as it is.
        Raises PreconditionFailed after `FOLD_ATTEMPTS` lost races, and as `load`.
        """
        for _ in range(FOLD_ATTEMPTS):
            published = self._reader.published(known, rebuild=False)
            current = published.snapshot or known
            pointer = current.pointer
            if pointer.generation != known.pointer.generation or pointer.hubs == examination:
                return current
            noted = replace(current, pointer=replace(pointer, hubs=examination, token=new_token()))
            try:
                swap_pointer(self._store, noted.pointer, published.etag)
            except PreconditionFailed:
                continue
            return noted
        raise PreconditionFailed(f"Lost {FOLD_ATTEMPTS} races for {layout.POINTER_KEY} in a row.")

    def _rebased(
        self, changes: Changes, model: ModelIdentity, since: Snapshot | None, current: Snapshot | None
    ) -> Changes:
        """The changes that still apply to `current`. Vectors that a lost attempt wrote for others are withdrawn."""
        if current is None:
            return changes
        check_model(current.pointer, model)
        rebased = rebase(changes, since, current)
        if rebased.given_up:
            self._backend.withdraw(current, rebased.given_up)
        return rebased.changes

    def _rebased_rebuild(
        self, changes: Changes, model: ModelIdentity, since: Snapshot | None, current: Snapshot | None
    ) -> Changes:
        is_same_model = current is not None and current.pointer.model.fingerprint == model.fingerprint
        merge = rebase_rebuild if is_same_model else rebase_to_other_model
        return merge(changes, since, current)

    def _append(self, folded: Snapshot, later: tuple[FileEntry, ...]) -> Snapshot:
        """`folded` with these journals, which belong to the generation that it was made from."""
        for entry in later:
            body = read_verified(self._store, entry)
            folded = self._with_journal(folded, journal_from_json(body, entry.key), body)
        return folded

    def _write(self, published: Published, changes: Changes, model: ModelIdentity, *, rebuild: bool) -> Snapshot:
        """Write the files, then swap the pointer. Raises PreconditionFailed."""
        current = published.snapshot
        made_with = {model.arithmetic} if changes.added else set()
        if rebuild:
            if current and changes.copied:
                made_with |= set(current.pointer.made_with)
            snapshot = self._write_generation(None, changes, model, published)
        elif current is None or not self._fits_journal(current.pointer, changes):
            snapshot = self._write_generation(current, changes, model, published)
        else:
            snapshot = self._with_journal(current, changes, self._backend.prepare_journal(current, changes))
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
        """Write `body`, which is `changes` as JSON, as the next journal of `base`."""
        number = base.pointer.journal + 1
        while True:
            try:
                key = layout.journal_key(base.pointer.generation, number)
                entry = upload_json(self._store, key, body, create=True)
                break
            except PreconditionFailed:
                number += 1  # Taken by a writer that died or is about to lose; no pointer will name that file.
        pointer = replace(
            base.pointer,
            journal=number,
            journals=(*base.pointer.journals, entry),
            journal_rows=base.pointer.journal_rows + changes.rows,
        )
        return _finished(replace(base.apply(changes), pointer=pointer))

    def _write_generation(
        self, base: Snapshot | None, changes: Changes, model: ModelIdentity, published: Published
    ) -> Snapshot:
        generation = generation_name(published.number + 1)
        previous = published.kept[: max(self._settings.keep_generations, self._backend.min_kept) - 1]
        pointer = Pointer(generation, "", model, 0, 0, 0.0, (), previous=previous)
        if base:
            pointer = replace(pointer, made_with=base.pointer.made_with, hubs=base.pointer.hubs)
        return _finished(self._backend.write_generation(pointer, base, changes))

    def _tidy_up(self, pointer: Pointer) -> None:
        """After a new generation: announce it and prune. If that fails, the next one does it."""
        if pointer.journals:
            return  # a journal outdates nothing, and pruning lists all that there is
        try:
            self._backend.announce(pointer)
            self._prune(pointer)
        except Unavailable as error:
            log.warning("Old generations could not be deleted, the next generation will: %s", error)

    def _prune(self, pointer: Pointer) -> None:
        """Delete generations that are no longer kept, and what dead writers left behind.

        A writer that is still uploading under a number up to ours has already lost, because the pointer has changed.
        The metadata of the generation that made a collection in use is kept too: it leads `forget` to the collection.
        """
        newest = layout.generation_number(pointer.generation)
        kept = {name for used in pointer.used for name in (used.generation, self._backend.maker_of(used.collection))}
        unused: dict[str, list[str]] = {}
        for info in self._store.list(layout.INDEX_PREFIX, selection=KEYS_ONLY):
            generation = layout.generation_of(info.key)
            if generation and generation not in kept and layout.generation_number(generation) <= newest:
                unused.setdefault(generation, []).append(info.key)
        for generation, names in unused.items():
            self._backend.forget(generation)
            for key in names:
                self._store.delete(key)


class NamedModel(Protocol):
    """A model that is told from others without being loaded."""

    @property
    def name(self) -> str:
        """As `ModelIdentity.name`."""
        ...

    @property
    def fingerprint(self) -> str:
        """As `ModelIdentity.fingerprint`."""
        ...


def check_model(pointer: Pointer, model: NamedModel) -> None:
    """Raise IndexMismatch unless `model` has made the index."""
    indexed = pointer.model
    if indexed.fingerprint != model.fingerprint:
        raise IndexMismatch(
            f"The index was made by {indexed.name} ({indexed.fingerprint}), and MODEL names {model.name} "
            f"({model.fingerprint}): their vectors can't be compared. Set MODEL back, or make a new index with "
            f"`image2search index --rebuild`."
        )


def _finished(snapshot: Snapshot) -> Snapshot:
    """The state with a pointer of its own, ready to be published."""
    pointer = replace(snapshot.pointer, token=new_token(), count=len(snapshot.records), created_at=time.time())
    return replace(snapshot, pointer=pointer)


def _made_with(snapshot: Snapshot, more: set[str]) -> Snapshot:
    """The same state with `more` among the arithmetics that made it."""
    made_with = tuple(sorted({*snapshot.pointer.made_with, *more}))
    return replace(snapshot, pointer=replace(snapshot.pointer, made_with=made_with))
