"""Thumbnails are made once, and again when their picture changes."""

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.errors import ImageNotFound, ObjectNotFound, StorageUnavailable, Unavailable
from app.library.thumbnails import Thumbnails, ThumbnailSize, thumbnail_key
from app.pictures.processes import DecoderProcesses
from app.settings import ImageSettings
from app.storage.local import LocalStore
from app.types import ImageRecord, image_id_of
from tests.support.profiles import DISPLAY_P3, rgb_profile
from tests.support.service import encoded, picture
from tests.support.stores import WrappedStore

KEY = "a/wide.png"


class CountingStore(WrappedStore):
    """Notes which originals are read."""

    def __init__(self, inner: LocalStore) -> None:
        super().__init__(inner)
        self.reads = 0

    def get(self, key: str, **options: Any):
        self.reads += key == KEY
        return super().get(key, **options)


class ReadOnlyStore(WrappedStore):
    def put(self, key: str, body: object, **options: object) -> str:
        raise StorageUnavailable("AccessDenied")


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(LocalStore(tmp_path))


def put(store: WrappedStore, size: tuple[int, int]) -> ImageRecord:
    etag = store.put(KEY, encoded(picture(KEY, size)))
    return ImageRecord(image_id_of(KEY), KEY, etag, "hash", 1, 1.0, *size)


def thumbnail_of(thumbnails: Thumbnails, record: ImageRecord, size: ThumbnailSize = "small") -> bytes:
    return (thumbnails.kept(record, size) or thumbnails.make(record, size)).data


def size_of(data: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image.size


@pytest.mark.parametrize(
    ("size", "small", "large"),
    [
        ((2048, 1000), (256, 125), (1024, 500)),
        ((500, 1000), (128, 256), (500, 1000)),
        ((9, 7), (9, 7), (9, 7)),
    ],
)
def test_it_fits_and_is_never_enlarged(
    store: CountingStore, size: tuple[int, int], small: tuple[int, int], large: tuple[int, int]
) -> None:
    thumbnails, record = Thumbnails(store, ImageSettings()), put(store, size)
    assert size_of(thumbnail_of(thumbnails, record)) == small
    assert size_of(thumbnail_of(thumbnails, record, "large")) == large
    assert size_of(thumbnail_of(thumbnails, record)) == small, "each size has a place of its own"
    assert store.reads == 2


def test_all_sizes_are_removed(store: CountingStore) -> None:
    thumbnails, record = Thumbnails(store, ImageSettings()), put(store, (600, 300))
    thumbnail_of(thumbnails, record)
    thumbnail_of(thumbnails, record, "large")
    thumbnails.remove(record.image_id)
    assert [info.key for info in store.list()] == [KEY]
    thumbnails.remove(record.image_id)


@pytest.mark.parametrize("size", ["small", "large"])
def test_wide_colours_become_those_of_srgb(store: CountingStore, size: ThumbnailSize) -> None:
    """A grey and two muted colours of Display P3, whose values in sRGB follow from the primaries."""
    shown = {(117, 189, 92): (91, 193, 76), (128, 128, 128): (129, 129, 129), (200, 120, 80): (214, 116, 69)}
    for colour, expected in shown.items():
        file = encoded(Image.new("RGB", (1200, 800), colour), icc_profile=rgb_profile(DISPLAY_P3))
        etag = store.put(KEY, file)
        record = ImageRecord(image_id_of(KEY), KEY, etag, "hash", 1, 1.0, 1200, 800)
        with Image.open(io.BytesIO(thumbnail_of(Thumbnails(store, ImageSettings()), record, size))) as copy:
            assert "icc_profile" not in copy.info
            pixel = copy.convert("RGB").getpixel((100, 60))
        assert all(abs(value - wanted) <= 3 for value, wanted in zip(pixel, expected, strict=True)), (pixel, expected)


def test_it_is_made_once(store: CountingStore) -> None:
    thumbnails, record = Thumbnails(store, ImageSettings()), put(store, (600, 300))
    first = thumbnail_of(thumbnails, record)
    assert thumbnail_of(thumbnails, record) == first
    assert thumbnail_of(Thumbnails(store, ImageSettings()), record) == first
    assert store.reads == 1


def test_it_is_made_again_when_the_picture_changes(store: CountingStore) -> None:
    thumbnails = Thumbnails(store, ImageSettings())
    thumbnail_of(thumbnails, put(store, (600, 300)))
    changed = put(store, (300, 600))
    assert size_of(thumbnail_of(thumbnails, changed)) == (128, 256)
    assert size_of(thumbnail_of(thumbnails, changed)) == (128, 256)
    assert store.reads == 2


def test_one_of_a_newer_picture_than_the_index_knows_is_not_lost(store: CountingStore) -> None:
    thumbnails = Thumbnails(store, ImageSettings())
    old = put(store, (600, 300))
    new = put(store, (300, 600))
    assert size_of(thumbnail_of(thumbnails, old)) == (128, 256)
    assert size_of(thumbnail_of(thumbnails, new)) == (128, 256)
    assert store.reads == 1


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", encoded(picture(KEY)), encoded(picture(KEY), "WEBP")])
def test_rubbish_in_its_place_is_replaced(store: CountingStore, rubbish: bytes) -> None:
    record = put(store, (600, 300))
    store.put(thumbnail_key(record.image_id), rubbish)
    assert size_of(thumbnail_of(Thumbnails(store, ImageSettings()), record)) == (256, 128)


def test_a_bucket_that_cannot_be_written_to(store: CountingStore, caplog: pytest.LogCaptureFixture) -> None:
    record = put(store, (600, 300))
    with caplog.at_level(logging.WARNING):
        assert size_of(thumbnail_of(Thumbnails(ReadOnlyStore(store), ImageSettings()), record)) == (256, 128)
    assert "AccessDenied" in caplog.text


def test_a_picture_that_is_gone(store: CountingStore) -> None:
    record = put(store, (600, 300))
    store.delete(KEY)
    with pytest.raises(ObjectNotFound):
        thumbnail_of(Thumbnails(store, ImageSettings()), record)


def test_a_picture_that_was_replaced_by_something_else(store: CountingStore) -> None:
    record = replace(put(store, (600, 300)), etag="old")
    store.put(KEY, b"text")
    with pytest.raises(ImageNotFound, match=KEY):
        thumbnail_of(Thumbnails(store, ImageSettings()), record)


def test_an_object_that_has_grown_beyond_the_limit_is_refused(store: CountingStore) -> None:
    record = put(store, (60, 30))
    with pytest.raises(ImageNotFound, match=f"{KEY}.*has grown.*more than 50 bytes.*IMAGE_MAX_BYTES"):
        Thumbnails(store, ImageSettings(max_bytes=50)).make(record)


def test_the_picture_is_decoded_by_the_decoders(store: CountingStore) -> None:
    decoders = DecoderProcesses(1, 32 << 20)
    record = put(store, (600, 300))
    try:
        copy = Thumbnails(store, ImageSettings(), decoders=decoders).make(record).data
    finally:
        decoders.close()
    assert size_of(copy) == (256, 128)
    with pytest.raises(Unavailable, match="stopping"):
        Thumbnails(store, ImageSettings(), decoders=decoders).make(record)
