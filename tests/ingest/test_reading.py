"""One object to one outcome, for every answer of the store and every kind of bytes; and the record of a picture."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from app.errors import InvalidInput, ObjectArchived, ObjectNotFound, StorageUnavailable, Unavailable
from app.ingest.reading import Content, Failure, Gone, Reader, ReadOutcome, facts_in, key_of, make_record
from app.pictures.decoding import Picture, decode_image
from app.pictures.facts import Facts
from app.pictures.limits import Limits
from app.pictures.perceptual import perceptual_hash
from app.settings import ImageSettings
from app.storage.base import ObjectInfo, StoredObject
from app.storage.local import LocalStore
from app.types import ImageRecord, Skip, hash_content, image_id_of
from tests.indexer.picture_collection import FailingStore, png
from tests.support.pictures import encoded, smooth

KEY = "nature/a.png"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    store.put(KEY, png(1, (30, 20)))
    return store


def read(
    store: LocalStore | FailingStore, known: dict[str, ImageRecord] | None = None, *, keep_location: bool = False
) -> ReadOutcome:
    reader = Reader(store, ImageSettings(), known or {}, decode_image, keep_location=keep_location)
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


DETAILED = ImageRecord(image_id_of("b.png"), "b.png", "1", "c0ffee", 2, 3.0, 30, 20, perceptual_hash="0" * 16)


def test_known_content_is_not_decoded(store: LocalStore) -> None:
    outcome = read(store, {hash_content(png(1, (30, 20))): DETAILED})
    assert isinstance(outcome, Content)
    assert (outcome.picture, outcome.facts) == (None, None)


def test_known_content_whose_record_has_no_details_is_decoded(store: LocalStore) -> None:
    outcome = read(store, {hash_content(png(1, (30, 20))): replace(DETAILED, perceptual_hash=None)})
    assert isinstance(outcome, Content)
    assert outcome.picture is not None


@pytest.mark.parametrize("keep_location", [False, True])
def test_the_facts_of_a_file_are_read_and_its_place_only_if_wanted(store: LocalStore, keep_location: bool) -> None:
    block = Image.Exif()
    block[ExifTags.Base.Model] = "X-T4"
    block[ExifTags.Base.DateTime] = "2020:05:01 12:00:00"
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (1.5, 0.0, 0.0), 3: "E", 4: (2.5, 0.0, 0.0)})
    store.put(KEY, encoded(smooth(30, 20), "PNG", exif=block))
    outcome = read(store, keep_location=keep_location)
    assert isinstance(outcome, Content)
    place = (1.5, 2.5) if keep_location else None
    assert outcome.facts == Facts(1_588_334_400.0, "X-T4", place, perceptual_hash(smooth(30, 20)), "PNG")


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


def test_an_archived_object_is_skipped_until_a_person_asks_again(store: LocalStore) -> None:
    outcome = read(FailingStore(store, {KEY: ObjectArchived("It lies in the archive GLACIER.")}))
    reason = "It lies in the archive GLACIER. Restore it, then run again with --retry-skipped."
    assert outcome == Skip(KEY, store.head(KEY).etag, reason)


def test_an_object_that_has_grown_since_it_was_listed_is_skipped(store: LocalStore) -> None:
    info = store.head(KEY)
    store.put(KEY, b"x" * 5000)
    outcome = Reader(store, ImageSettings(max_bytes=4000), {}, decode_image).fetch(info)
    assert outcome == Skip(KEY, info.etag, f"{KEY} has more than 4,000 bytes. IMAGE_MAX_BYTES allows no more.")


def test_too_little_memory_to_fetch_is_tried_again_by_the_next_run(store: LocalStore) -> None:
    outcome = read(FailingStore(store, {KEY: MemoryError()}))
    assert isinstance(outcome, Failure)
    assert "INDEX_READERS" in outcome.reason


def test_too_little_memory_to_decode_is_tried_again_by_the_next_run(store: LocalStore) -> None:
    def out_of_memory(data: bytes, limits: ImageSettings) -> Picture:
        raise MemoryError

    info = store.head(KEY)
    outcome = Reader(store, ImageSettings(), {}, out_of_memory).decode(info, store.get(KEY))
    assert isinstance(outcome, Failure)
    assert "memory" in outcome.reason


def test_bytes_that_are_no_picture_are_skipped_under_the_etag_that_was_read(store: LocalStore) -> None:
    store.put(KEY, b"rubbish")
    outcome = read(store)
    assert isinstance(outcome, Skip)
    assert (outcome.object_key, outcome.etag) == (KEY, store.head(KEY).etag)


def test_a_record_holds_what_was_read_and_what_was_listed(store: LocalStore) -> None:
    info = ObjectInfo(KEY, "listed", 1, 1.5)
    facts = Facts(7.5, "X-T4", (1.5, 2.5), "0" * 16, "PNG")
    record = make_record(Content(info, "read", 2000, "c0ffee", None), 30, 20, facts, 9.5)
    plain = ImageRecord(image_id_of(KEY), KEY, "read", "c0ffee", 2000, 1.5, 30, 20)
    assert record == replace(
        plain, added_at=9.5, taken_at=7.5, camera="X-T4", location=(1.5, 2.5), perceptual_hash="0" * 16, format="PNG"
    )
    assert facts_in(record) == facts


def test_every_outcome_has_a_key(store: LocalStore) -> None:
    outcomes: list[ReadOutcome] = [read(store), Skip(KEY, "1", "x"), Gone(KEY), Failure(KEY, "x")]
    assert {key_of(outcome) for outcome in outcomes} == {KEY}


@pytest.mark.parametrize("key", ["uploads/3f9c2a", "a.b", "f.jpg?width=800"])
def test_a_picture_is_recognised_by_its_first_bytes_where_its_name_says_nothing(store: LocalStore, key: str) -> None:
    store.put(key, png(2))
    reader = Reader(store, ImageSettings(), {}, decode_image)
    info = store.head(key)
    stored = reader.fetch(info)
    assert isinstance(stored, StoredObject)
    assert isinstance(reader.decode(info, stored), Content)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"words", "unknown"), (b"", "unknown"), (b"%PDF-1.7", "PDF"), (b"\0\0\0\x18ftypisom", "video")]
)
def test_other_files_without_a_telling_name_are_passed_over_by_kind(store: LocalStore, data: bytes, kind: str) -> None:
    store.put("README", data)
    info = store.head("README")
    outcome = Reader(
        FailingStore(store, {"README": AssertionError("read whole")}), ImageSettings(), {}, decode_image
    ).fetch(info)
    assert outcome == Skip("README", info.etag, f"It is no picture, but a file of kind {kind}.", kind)


def test_the_flaw_of_a_damaged_picture_is_told(store: LocalStore) -> None:
    store.put(KEY, encoded(smooth(320, 240), "JPEG")[:-2])
    outcome = read(store)
    assert isinstance(outcome, Content)
    assert outcome.flaw == "The file is damaged: all of the picture can be seen."


def test_a_decoder_that_was_killed_for_memory_is_tried_again_by_the_next_run(store: LocalStore) -> None:
    def killed(data: bytes, limits: Limits) -> Picture:
        raise Unavailable("killed")

    outcome = Reader(store, ImageSettings(), {}, killed).decode(store.head(KEY), store.get(KEY))
    assert outcome == Failure(KEY, "killed")
