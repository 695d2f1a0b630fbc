"""Reading and verifying the published state: for readers, and for writers that are about to replace it."""

import logging
from dataclasses import replace
from typing import NamedTuple

from app.catalog import layout
from app.catalog.backend import Backend
from app.catalog.changes import journal_from_json
from app.catalog.merge import appended_between
from app.catalog.pointer import Kept, Pointer, read_pointer
from app.catalog.snapshot import Snapshot
from app.catalog.verified_files import read_verified
from app.errors import IndexCorrupt, IndexMismatch, ObjectNotFound
from app.storage.base import KEYS_ONLY, ObjectStore

log = logging.getLogger(__name__)


class Published(NamedTuple):
    """What a writer found in the bucket and is about to replace."""

    snapshot: Snapshot | None
    """None where nothing is published, or where it can't be read."""
    etag: str | None
    """Of the pointer; None where there is none."""
    number: int
    """Of the newest generation."""
    kept: tuple[Kept, ...]
    """Generations that may still be read, newest first."""


class PublishedReader:
    """Reads the published state of one bucket. Thread-safe: it keeps no state of its own."""

    def __init__(self, store: ObjectStore, backend: Backend) -> None:
        self._store = store
        self._backend = backend

    def published(self, known: Snapshot | None, rebuild: bool) -> Published:
        """The current state; in a rebuild also one that can't be read, without its snapshot."""
        try:
            found = self.load(known)
        except (IndexCorrupt, IndexMismatch) as error:
            if not rebuild:
                raise
            log.warning("The current index can't be read and is replaced: %s", error)
            return self._unreadable()
        if found is None:
            return Published(None, None, 0, ())
        snapshot, etag = found
        return Published(snapshot, etag, layout.generation_number(snapshot.pointer.generation), snapshot.pointer.used)

    def _unreadable(self) -> Published:
        """What is needed to replace a damaged pointer or generation. Its generations are kept like good ones."""
        try:
            etag = self._store.head(layout.POINTER_KEY).etag
        except ObjectNotFound:
            etag = None
        found = {layout.generation_of(info.key) for info in self._store.list(layout.INDEX_PREFIX, selection=KEYS_ONLY)}
        newest_first = sorted((name for name in found if name), key=layout.generation_number, reverse=True)
        number = layout.generation_number(newest_first[0]) if newest_first else 0
        return Published(None, etag, number, tuple(Kept(name) for name in newest_first))

    def load(self, known: Snapshot | None) -> tuple[Snapshot, str] | None:
        """The published state and the etag of its pointer; read again if it is pruned while we read it."""
        while True:
            found = read_pointer(self._store)
            if found is None:
                return None
            pointer, etag = found
            self._check_engine(pointer)
            if known is not None and known.pointer.token == pointer.token:
                return known, etag
            try:
                return self._load_state(pointer, known), etag
            except IndexCorrupt:
                latest = read_pointer(self._store)
                if latest is None or latest[0].token == pointer.token:
                    raise

    def load_earlier(self, generation: str, journal: int) -> Snapshot | None:
        """As `Catalog.load_earlier`. Journals are only appended, so the first ones of the pointer lead there."""
        while True:
            found = read_pointer(self._store)
            if found is None or found[0].generation != generation or found[0].collection:
                return None
            pointer = found[0]
            self._check_engine(pointer)
            journals = tuple(entry for entry in pointer.journals if layout.journal_number(entry.key) <= journal)
            last = layout.journal_number(journals[-1].key) if journals else 0
            if last != journal:
                return None
            try:
                snapshot = self._backend.load_generation(pointer, None)
                for entry in journals:
                    snapshot = snapshot.apply(journal_from_json(read_verified(self._store, entry), entry.key))
            except IndexCorrupt:
                latest = read_pointer(self._store)
                if latest is None or latest[0].generation == generation:
                    raise
                continue
            count = len(snapshot.records)
            return replace(snapshot, pointer=replace(pointer, journals=journals, journal=journal, count=count))

    def _check_engine(self, pointer: Pointer) -> None:
        if pointer.engine != self._backend.engine:
            raise IndexMismatch(
                f"The index keeps its vectors in {pointer.engine}, and VECTOR_STORE={self._backend.engine} looks "
                f"elsewhere. Set VECTOR_STORE={pointer.engine} back, or make a new index with `image2search index "
                f"--rebuild`."
            )

    def _load_state(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        """The state that `pointer` names; from `known` only the later journals are read, where they lead there."""
        journals = appended_between(known.pointer, pointer) if known else None
        if known is None or journals is None:
            snapshot, journals = self._backend.load_generation(pointer, known), pointer.journals
        else:
            snapshot = known
        for entry in journals:
            snapshot = snapshot.apply(journal_from_json(read_verified(self._store, entry), entry.key))
        vectors = pointer.count if pointer.collection else len(snapshot.vectors)
        if not len(snapshot.records) == vectors == pointer.count:
            raise IndexCorrupt(
                f"Generation {pointer.generation} holds {vectors} vectors and {len(snapshot.records)} records where "
                f"the pointer says {pointer.count}. Index again with --rebuild."
            )
        return replace(snapshot, pointer=pointer)
