"""`_map/`: layouts and the vectors of the map's words, in the index store, where every replica finds them.

All of it is derived. A file that is missing, damaged or can't be written costs the work again, nothing else.
"""

import io
import logging
from typing import Final

import numpy as np

from app.catalog.layout import GENERATION, MAP_PREFIX, generation_number
from app.errors import IndexCorrupt, ObjectNotFound, StorageUnavailable
from app.library.map.layout import Kind, Layout
from app.storage.base import KEYS_ONLY, ObjectStore
from app.types import Vectors, hash_content

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Generations whose layouts are kept: the newest one, and one to begin from."""


def layout_key(generation: str, kind: Kind) -> str:
    return f"{MAP_PREFIX}{generation}/{kind}.npz"


class MapStore:
    """Synchronous and thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def newest_layout(self, generation: str) -> tuple[str, Layout] | None:
        """The best layout of this generation, or else of the newest older one, and its generation's name.

        Raises StorageUnavailable.
        """
        kept = [name for name in self._kept() if generation_number(name) <= generation_number(generation)]
        for name in sorted(kept, key=lambda name: (generation_number(name), name == generation), reverse=True):
            for kind in ("umap", "pca"):
                if layout := self.layout(name, kind):
                    return name, layout
        return None

    def layout(self, generation: str, kind: Kind) -> Layout | None:
        """Raises StorageUnavailable."""
        key = layout_key(generation, kind)
        try:
            return Layout.from_bytes(self._store.get(key).data)
        except ObjectNotFound:
            return None
        except IndexCorrupt as error:
            log.warning("%s can't be read and is made again. %s", key, error)
            return None

    def keep_layout(self, generation: str, layout: Layout) -> None:
        """Write it, and delete those of old generations."""
        try:
            self._store.put(layout_key(generation, layout.kind), layout.to_bytes())
            self._prune(generation_number(generation))
        except StorageUnavailable as error:
            log.warning("A layout of the map could not be kept: %s", error)

    def _kept(self) -> set[str]:
        """The generations that have layouts."""
        parts = (info.key.split("/")[1] for info in self._store.list(MAP_PREFIX, selection=KEYS_ONLY))
        return {name for name in parts if GENERATION.fullmatch(name)}

    def _prune(self, newest: int) -> None:
        old = sorted((name for name in self._kept() if generation_number(name) <= newest), key=generation_number)
        for name in old[:-KEPT]:
            for kind in ("umap", "pca"):
                self._store.delete(layout_key(name, kind))

    def word_vectors(self, fingerprint: str, texts: tuple[str, ...]) -> Vectors | None:
        """(N, D) what the model of this fingerprint made of the texts, if it was kept. Raises StorageUnavailable."""
        try:
            stored = self._store.get(_words_key(fingerprint, texts))
            vectors = np.load(io.BytesIO(stored.data), allow_pickle=False)
        except (ObjectNotFound, ValueError, EOFError):
            return None
        is_whole = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == len(texts)
        return vectors if is_whole and np.isfinite(vectors).all() else None

    def keep_word_vectors(self, fingerprint: str, texts: tuple[str, ...], vectors: Vectors) -> None:
        file = io.BytesIO()
        np.save(file, vectors)
        try:
            self._store.put(_words_key(fingerprint, texts), file.getvalue())
        except StorageUnavailable as error:
            log.warning("The vectors of the map's words could not be kept: %s", error)


def _words_key(fingerprint: str, texts: tuple[str, ...]) -> str:
    return f"{MAP_PREFIX}words/{fingerprint}-{hash_content(chr(10).join(texts).encode())[:16]}.npy"
