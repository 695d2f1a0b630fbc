"""One object to one outcome, for every answer of the store and every kind of bytes; and the record of a picture."""

from pathlib import Path

import pytest

from app.errors import InvalidInput, ObjectNotFound, StorageUnavailable
from app.ingest.reading import Content, Failure, Gone, Reader, ReadOutcome, key_of, make_record
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings
from app.storage.base import ObjectInfo, StoredObject
from app.storage.local import LocalStore
from app.types import ImageRecord, Skip, hash_content, image_id_of
from tests.indexer.picture_collection import FailingStore, png

KEY = "nature/a.png"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    store.put(KEY, png(1, (30, 20)))
    return store


def read(store: LocalStore | FailingStore, known: set[str] | None = None) -> ReadOutcome:
    reader = Reader(store, ImageSettings(), known or set(), decode_image)
    info = store.head(KEY)
    stored = reader.fetch(info)
    return reader.decode(info, stored) if isinstance(stored, StoredObject) else stored


def test_a_picture_is_hashed_and_decoded(store: LocalStore) -> None:
    outcome = read(store)
    assert isinstance(outcome, Content)
    assert (outcome.info, outcome.etag) == (store.head(KEY), store.head(KEY).etag)
    assert (outcome.size_bytes, outcome.content_hash) == (len(png(1, (30, 20))), hash_content(png(1, (30, 20))))
    assert outcome.picture is not None
    assert outcome.picture.image.size == (30, 20)


def test_known_content_is_not_decoded(store: LocalStore) -> None:
    outcome = read(store, {hash_content(png(1, (30, 20)))})
    assert isinstance(outcome, Content)
    assert outcome.picture is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ObjectNotFound("no such key"), Gone(KEY)),
        (StorageUnavailable("no answer"), Failure(KEY, "no answer")),
        (InvalidInput("no object key"), Skip(KEY, "", "no object key")),
    ],
    ids=["gone", "storage down", "refused"],
)
def test_an_object_that_can_not_be_fetched(store: LocalStore, error: Exception, outcome: ReadOutcome) -> None:
    if isinstance(outcome, Skip):
        outcome = Skip(KEY, store.head(KEY).etag, outcome.reason)
    assert read(FailingStore(store, {KEY: error})) == outcome


def test_too_little_memory_to_fetch_is_tried_again_by_the_next_run(store: LocalStore) -> None:
    outcome = read(FailingStore(store, {KEY: MemoryError()}))
    assert isinstance(outcome, Failure)
    assert "INDEX_READERS" in outcome.reason


def test_too_little_memory_to_decode_is_tried_again_by_the_next_run(store: LocalStore) -> None:
    def out_of_memory(data: bytes, limits: ImageSettings) -> Picture:
        raise MemoryError

    info = store.head(KEY)
    outcome = Reader(store, ImageSettings(), (), out_of_memory).decode(info, store.get(KEY))
    assert isinstance(outcome, Failure)
    assert "memory" in outcome.reason


def test_bytes_that_are_no_picture_are_skipped_under_the_etag_that_was_read(store: LocalStore) -> None:
    store.put(KEY, b"rubbish")
    outcome = read(store)
    assert isinstance(outcome, Skip)
    assert (outcome.object_key, outcome.etag) == (KEY, store.head(KEY).etag)


def test_a_record_holds_what_was_read_and_what_was_listed(store: LocalStore) -> None:
    info = ObjectInfo(KEY, "listed", 1, 1.5)
    record = make_record(Content(info, "read", 2000, "c0ffee", None), 30, 20, "a beach")
    assert record == ImageRecord(image_id_of(KEY), KEY, "read", "c0ffee", 2000, 1.5, 30, 20, "a beach")


def test_every_outcome_has_a_key(store: LocalStore) -> None:
    outcomes: list[ReadOutcome] = [read(store), Skip(KEY, "1", "x"), Gone(KEY), Failure(KEY, "x")]
    assert {key_of(outcome) for outcome in outcomes} == {KEY}
