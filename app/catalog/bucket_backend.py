"""Generations whose vectors lie in the bucket beside their metadata, searched in this process by FAISS."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from app.catalog import layout as keys
from app.catalog import verified_files as files
from app.catalog.changes import Changes, Snapshot
from app.catalog.journal import journal_to_json
from app.catalog.metadata import read_metadata
from app.catalog.pointer import Pointer
from app.catalog.records import Records
from app.settings import VectorSettings
from app.storage.base import ObjectStore
from app.vectors.faiss.build import choose_shape
from app.vectors.faiss.store import FaissStore, Rows

INDEX_NAME = "image_faiss_index.bin"
METADATA_NAME = "image_metadata.json"


class EmbeddedEngine:
    """Both files of a generation are downloaded, verified, mapped and unlinked: what is not read takes no memory."""

    name = "faiss"
    min_kept = 1

    def __init__(self, store: ObjectStore, settings: VectorSettings) -> None:
        self._store = store
        self._settings = settings

    def read(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        with files.scratch_folder() as folder, ThreadPoolExecutor(2) as pool:
            paths = [folder / INDEX_NAME, folder / METADATA_NAME]
            list(pool.map(lambda entry, path: files.download_verified(self._store, entry, path), pointer.files, paths))
            return _mapped(pointer, *paths)

    def write(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        snapshot = (base or Snapshot.empty(pointer)).apply(changes)
        assert isinstance(snapshot.vectors, FaissStore)
        with files.scratch_folder() as folder:
            index_path, metadata_path = folder / INDEX_NAME, folder / METADATA_NAME
            saved = snapshot.vectors.save(index_path, self._settings)
            index = files.upload(self._store, keys.index_key(pointer.generation), index_path)
            snapshot.records.save(metadata_path, saved.ids, snapshot.skipped)
            metadata = files.upload(
                self._store, keys.metadata_key(pointer.generation), metadata_path, content_type="application/json"
            )
            pointer = replace(pointer, engine=self.name, files=(index, metadata), accuracy=saved.accuracy)
            return _mapped(pointer, index_path, metadata_path)

    def journal(self, base: Snapshot, changes: Changes) -> bytes:
        return journal_to_json(changes, with_vectors=True)

    def is_outgrown(self, pointer: Pointer) -> bool:
        count, shape = pointer.count, pointer.accuracy.shape
        return count > 0 and choose_shape(count, pointer.model.dimension, self._settings, shape) != shape

    def announce(self, pointer: Pointer) -> None:
        """Nobody else needs to know."""

    def made_by(self, collection: str) -> str:
        """There are no collections."""
        return ""

    def forget(self, generation: str) -> None:
        """Its files are all there was."""


def _mapped(pointer: Pointer, index_path: Path, metadata_path: Path) -> Snapshot:
    base, skipped = read_metadata(metadata_path)
    rows = Rows(base.ids, base.folders, base.codes)
    return Snapshot(pointer, Records(base), FaissStore.load(index_path, rows, pointer.accuracy), skipped)
