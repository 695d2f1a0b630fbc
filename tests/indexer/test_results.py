"""What a run knows of a picture: facts of its file, and the words of people, which stay."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from app.catalog.changes import Changes
from app.settings import MetadataSettings
from app.types import PERSON, ImageRecord, Source, image_id_of, row_id
from indexer.plan import Options
from indexer.progress import SilentProgress
from tests.indexer.picture_collection import Collection, png
from tests.support.pictures import encoded, smooth

REBUILD = Options(rebuild=True)
DETAILS = Options(details=True)

WORDS: dict[str, Any] = {
    "caption": "my boat",
    "caption_by": PERSON,
    "tags": ("boat",),
    "source": Source("https://x.example/1", creator="Ann"),
}


class CountedProgress(SilentProgress):
    """Counts the pictures that are done."""

    indexed = 0
    _is_indexing = False

    def phase(self, name: str, total: int | None = None) -> None:
        self._is_indexing = name == "indexing"

    def advance(self, count: int = 1) -> None:
        self.indexed += self._is_indexing * count


def record_of(collection: Collection, key: str) -> ImageRecord:
    return collection.snapshot().records[row_id(image_id_of(key))]


def change(collection: Collection, key: str, **values: Any) -> None:
    """Publish the record of a picture with other values."""
    record = replace(record_of(collection, key), **values)
    changes = Changes(added=(record,), vectors=collection.vector(key)[None])
    collection.catalog().publish(changes, collection.embedder.identity)


def words_of(collection: Collection, key: str) -> dict[str, Any]:
    record = record_of(collection, key)
    return {name: getattr(record, name) for name in WORDS}


def photograph(**entries: str) -> bytes:
    block = Image.Exif()
    block.update({int(ExifTags.Base[name]): value for name, value in entries.items()})
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (1.5, 0.0, 0.0), 3: "E", 4: (2.5, 0.0, 0.0)})
    return encoded(smooth(30, 20), "JPEG", exif=block)


@pytest.mark.parametrize("gps", [False, True])
def test_a_record_says_when_and_with_what_a_picture_was_taken(collection: Collection, gps: bool) -> None:
    collection.settings = collection.settings.model_copy(update={"metadata": MetadataSettings(gps=gps)})
    data = photograph(Model="X-T4", DateTime="2020:05:01 12:00:00")
    collection.store.put("a.jpg", data)
    collection.store.put("copy.jpg", data)
    began_at = time.time()
    collection.run()
    collection.store.put("later/copy.jpg", data)
    collection.run()
    for key in ("a.jpg", "copy.jpg", "later/copy.jpg"):
        record = record_of(collection, key)
        assert (record.taken_at, record.camera) == (1_588_334_400.0, "X-T4")
        assert record.location == ((1.5, 2.5) if gps else None)
        assert record.perceptual_hash == record_of(collection, "a.jpg").perceptual_hash is not None
        assert record.added_at is not None
        assert began_at <= record.added_at <= time.time()


@pytest.mark.parametrize("options", [Options(), REBUILD], ids=["run", "rebuild"])
@pytest.mark.parametrize("seed", [1, 2], ids=["same picture", "another picture"])
def test_what_people_said_stays_when_the_file_is_read_again(
    collection: Collection, options: Options, seed: int
) -> None:
    collection.put("a.png", 1)
    collection.put("b.png", 9)
    collection.run()
    change(collection, "a.png", **WORDS, added_at=77.0)
    collection.store.put("a.png", png(seed), content_type="image/png")
    collection.run(options)
    assert words_of(collection, "a.png") == WORDS
    assert record_of(collection, "a.png").added_at == 77.0


def test_the_caption_of_a_model_goes_when_the_picture_changes(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    change(collection, "a.png", caption="a dog", caption_by="some/model", tags=("dog",))
    collection.put("a.png", 2)
    collection.run()
    assert words_of(collection, "a.png") == {"caption": None, "caption_by": None, "tags": ("dog",), "source": None}


def test_a_moved_picture_takes_its_words_with_it(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    change(collection, "a.png", **WORDS, added_at=77.0)
    collection.put("copy.png", 1)
    collection.run()
    assert words_of(collection, "copy.png") == WORDS
    assert record_of(collection, "copy.png").added_at != 77.0, "a copy is new"
    collection.store.delete("copy.png")
    collection.run()
    collection.store.delete("a.png")
    collection.put("b/a.png", 1)
    collection.run(Options(allow_shrink=True))
    assert words_of(collection, "b/a.png") == WORDS
    assert record_of(collection, "b/a.png").added_at == 77.0


def without_details(collection: Collection, *keys: str) -> None:
    for key in keys:
        change(collection, key, perceptual_hash=None, taken_at=None, added_at=None)


def test_missing_details_are_read_without_embedding(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    collection.store.put("photo.jpg", photograph(DateTime="2020:05:01 12:00:00"))
    collection.run()
    before = {key: (record_of(collection, key), collection.vector(key)) for key in collection.indexed()}
    change(collection, "1.png", **WORDS)
    without_details(collection, "1.png", "3.png", "photo.jpg")
    assert collection.run().unchanged == 6, "an ordinary run does not look for them"

    report = collection.run(DETAILS)

    assert (report.unchanged, report.changed, report.embedded, report.reused) == (6, 0, 0, 3)
    for key, (record, vector) in before.items():
        assert record_of(collection, key).perceptual_hash == record.perceptual_hash
        assert record_of(collection, key).taken_at == record.taken_at
        np.testing.assert_array_equal(collection.vector(key), vector)
    assert words_of(collection, "1.png") == WORDS
    assert collection.run(DETAILS).reused == 0


def test_an_interrupted_run_for_details_goes_on_where_it_was(collection: Collection) -> None:
    keys = [f"{seed:02}.png" for seed in range(12)]
    for seed, key in enumerate(keys):
        collection.put(key, seed)
    collection.run()
    without_details(collection, *keys)
    progress = CountedProgress()
    first = collection.run(DETAILS, progress=progress, stop=lambda: progress.indexed >= 5)
    assert (first.interrupted, first.reused) == (True, 5)
    assert collection.run(DETAILS).reused == len(keys) - 5
    assert all(record_of(collection, key).perceptual_hash for key in keys)


def test_a_new_copy_of_a_picture_without_details_gets_them(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    hashed = record_of(collection, "a.png").perceptual_hash
    without_details(collection, "a.png")
    collection.put("copy.png", 1)
    assert collection.run().embedded == 0
    assert record_of(collection, "copy.png").perceptual_hash == hashed
