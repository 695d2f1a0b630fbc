"""Real photographs through a trained model, where both are present."""

from pathlib import Path

import pytest

from app.models.choose import load_embedder
from app.settings import ModelSettings
from app.storage.local import LocalStore
from tests.indexer.picture_collection import Collection, CountingEmbedder, some_settings

SHARED = Path(__file__).parents[3] / "shared"
PHOTOS = SHARED / "photos" / "clothing"
MODEL = SHARED / "models" / "mini-dual-encoder"
KINDS = ("dress", "hat", "pants", "shoes")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is absent: no real photographs to index"),
    pytest.mark.skipif(not MODEL.is_dir(), reason=f"{MODEL} is absent: no trained model to index with"),
]


def test_photographs_are_indexed_once_and_found_by_their_kind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for kind in KINDS:
        for photo in sorted((PHOTOS / kind).glob("*.jpg"))[:15]:
            store.put(f"{kind}/{photo.name}", photo.read_bytes())
    embedder = CountingEmbedder(load_embedder(ModelSettings(name=str(MODEL))))
    photos = Collection(store, embedder, some_settings(batch_size=16, look_ahead=48))

    first = photos.run()
    assert first.added == first.embedded == first.seen >= 50
    assert first.skipped == first.failed == ()
    second = photos.run()
    assert (second.unchanged, second.embedded, embedder.embedded) == (first.seen, 0, 0)

    snapshot = photos.snapshot()
    for kind in ("hat", "shoes"):
        hits = snapshot.vectors.search(embedder.encode_texts([f"a photo of {kind}"]), 5)[0]
        found = [snapshot.records[row].folder for row, _ in hits]
        assert found.count(kind) >= 3, (kind, found)
