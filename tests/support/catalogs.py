"""Made-up pictures for the catalog: records with vectors, and changes that add them."""

import numpy as np

from app.catalog.changes import Changes, Snapshot
from app.types import ImageRecord, ModelIdentity, Vectors, hash_content, image_id_of, row_id

DIMENSION = 8
MODEL = ModelIdentity("test/model", "f00d" * 8, DIMENSION, "fp32", "torch-cpu")
OTHER_MODEL = ModelIdentity("other/model", "beef" * 8, DIMENSION, "fp32", "torch-cpu")


def record(key: str, etag: str = "1") -> ImageRecord:
    return ImageRecord(image_id_of(key), key, etag, hash_content((key + etag).encode()), 1000, 1.5, 64, 48)


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
