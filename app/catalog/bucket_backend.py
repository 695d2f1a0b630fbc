"""Generations whose vectors lie in the bucket beside their metadata and are searched in this process by FAISS."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from app.catalog import layout
from app.catalog.changes import Changes, journal_to_json
from app.catalog.metadata import read_metadata
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.catalog.snapshot import Snapshot
from app.catalog.verified_files import download_verified, scratch_folder, upload
from app.catalog.words import open_words, upload_words
from app.settings import VectorSettings
from app.storage.base import ObjectStore
from app.vectors.faiss.build import choose_shape
from app.vectors.faiss.store import FaissStore, Rows


class BucketBackend:
    """The files of a generation are downloaded, verified, mapped and unlinked: only the parts in use take memory."""

    engine = "faiss"
    min_kept = 1

    def __init__(self, store: ObjectStore, settings: VectorSettings) -> None:
        self._store = store
        self._settings = settings

    def load_generation(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        entries = [*pointer.files, *([pointer.words] if pointer.words else [])]
        with scratch_folder() as folder, ThreadPoolExecutor(len(entries)) as pool:
            paths = [folder / name for name in (layout.INDEX_NAME, layout.METADATA_NAME, layout.WORDS_NAME)]
            list(pool.map(lambda entry, path: download_verified(self._store, entry, path), entries, paths))
            return _map_files(pointer, *paths)

    def write_generation(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        snapshot = (base or empty_snapshot(pointer)).apply(changes)
        assert isinstance(snapshot.vectors, FaissStore)
        generation = pointer.generation
        with scratch_folder() as folder:
            index_path, metadata_path = folder / layout.INDEX_NAME, folder / layout.METADATA_NAME
            words_path = folder / layout.WORDS_NAME
            saved = snapshot.vectors.save(index_path, self._settings)
            index = upload(self._store, layout.index_key(generation), index_path)
            snapshot.records.save(metadata_path, saved.ids, snapshot.skipped)
            metadata = upload(
                self._store, layout.metadata_key(generation), metadata_path, content_type="application/json"
            )
            words = upload_words(self._store, generation, words_path, snapshot.records, saved.ids)
            pointer = replace(
                pointer, engine=self.engine, files=(index, metadata), words=words, accuracy=saved.accuracy
            )
            return _map_files(pointer, index_path, metadata_path, words_path)

    def prepare_journal(self, base: Snapshot, changes: Changes) -> bytes:
        return journal_to_json(changes, with_vectors=True)

    def withdraw(self, current: Snapshot, given_up: Changes) -> None:
        """Nothing to do: only the pointer makes rows of the bucket visible."""

    def is_outgrown(self, pointer: Pointer) -> bool:
        count, shape = pointer.count, pointer.accuracy.shape
        return count > 0 and choose_shape(count, pointer.model.dimension, self._settings, shape) != shape

    def announce(self, pointer: Pointer) -> None:
        """Nothing to do: the pointer tells every reader."""

    def maker_of(self, collection: str) -> str:
        """There are no collections."""
        return ""

    def forget(self, generation: str) -> None:
        """Nothing to do: a generation has no data outside its files."""


def empty_snapshot(pointer: Pointer) -> Snapshot:
    """A state without pictures."""
    records = Records()
    return Snapshot(pointer, records, FaissStore(pointer.model.dimension), {}, open_words(None, records.base))


def _map_files(pointer: Pointer, index_path: Path, metadata_path: Path, words_path: Path) -> Snapshot:
    base, skipped = read_metadata(metadata_path)
    rows = Rows(base.ids, base.folders, base.codes)
    vectors = FaissStore.load(index_path, rows, pointer.accuracy)
    words = open_words(words_path if pointer.words else None, base)
    return Snapshot(pointer, Records(base), vectors, skipped, words)
