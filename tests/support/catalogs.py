"""Made-up pictures for the catalog: records with vectors, and changes that add them."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from app.catalog.bucket_backend import BucketBackend, empty_snapshot
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.pointer import Pointer
from app.catalog.server_backend import ServerBackend
from app.catalog.snapshot import Snapshot
from app.catalog.view import EVERYWHERE, View
from app.settings import IndexSettings, VectorSettings
from app.storage.base import ObjectStore
from app.types import ImageRecord, ModelIdentity, Vectors, hash_content, image_id_of, row_id
from app.vectors.base import VectorServer
from app.words.analysis import Document

DIMENSION = 8
MODEL = ModelIdentity("test/model", "f00d" * 8, DIMENSION, "fp32", "torch-cpu")
OTHER_MODEL = ModelIdentity("other/model", "beef" * 8, DIMENSION, "fp32", "torch-cpu")


def catalog_on(
    store: ObjectStore,
    settings: IndexSettings | None = None,
    *,
    vectors: VectorSettings | None = None,
    server: VectorServer | None = None,
) -> Catalog:
    """A catalog whose vectors are in the store, or in `server`."""
    backend = ServerBackend(store, server) if server else BucketBackend(store, vectors or VectorSettings())
    return Catalog(store, settings or IndexSettings(), backend)


def record(key: str, etag: str = "1") -> ImageRecord:
    """A picture; a later etag is of a newer object, so it was modified later."""
    content_hash = hash_content((key + etag).encode())
    return ImageRecord(image_id_of(key), key, etag, content_hash, 1000, float(etag) + 0.5, 64, 48)


def row_of(key: str) -> int:
    return row_id(image_id_of(key))


def by_row(etags: dict[str, str]) -> dict[int, ImageRecord]:
    """Records by row id, for keys with etags."""
    return {row_of(key): record(key, etag) for key, etag in etags.items()}


def vector(key: str, etag: str = "1") -> Vectors:
    """(D,) unit row that only this picture has."""
    seed = int.from_bytes(hash_content((key + etag).encode()).encode()[:8])
    row = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def adding(*keys: str, etag: str = "1") -> Changes:
    return Changes(
        added=tuple(record(key, etag) for key in keys), vectors=np.stack([vector(key, etag) for key in keys])
    )


def removing(*keys: str) -> Changes:
    return Changes(removed=frozenset(image_id_of(key) for key in keys))


def etags_of(snapshot: Snapshot | None) -> dict[str, str]:
    """The etag of each picture that the snapshot lists, by key."""
    assert snapshot is not None
    return {item.object_key: item.etag for item in snapshot.records.values()}


def keys_of(snapshot: Snapshot | None) -> set[str]:
    """The keys that the snapshot lists, after checking that each is found by its own vector."""
    assert snapshot is not None
    found = set()
    for item in snapshot.records.values():
        hits = snapshot.vectors.search(vector(item.object_key, item.etag)[None], 1, folders=[item.folder])
        assert hits[0][0][0] == row_id(item.image_id), item
        found.add(item.object_key)
    assert len(found) == len(snapshot.vectors) == snapshot.pointer.count
    return found


def view_of(records: Iterable[ImageRecord], folders: Collection[str] = EVERYWHERE) -> View:
    """A view of these pictures, without their vectors."""
    snapshot = empty_snapshot(Pointer("00000001-0", "token", MODEL, 0, 0, 0.0, ()))
    listed = snapshot.records.changed({row_id(item.image_id): item for item in records}, set())
    documents = {row: Document(item.object_key, item.caption, item.tags) for row, item in listed.items()}
    return View(replace(snapshot, records=listed, words=snapshot.words.changed(documents, ())), folders)
