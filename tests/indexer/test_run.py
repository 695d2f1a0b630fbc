"""Whole runs in process, over a real store, the real catalog and a real (tiny) model."""

import io
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.layout import LOCK_KEY, POINTER_KEY
from app.catalog.lock import IndexLock
from app.errors import (
    AppError,
    IndexBusy,
    IndexCorrupt,
    IndexMismatch,
    InvalidInput,
    ModelUnavailable,
    ObjectNotFound,
    ShrinkRefused,
    StorageUnavailable,
)
from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings, ModelSettings
from app.storage.base import ObjectInfo, StoredObject
from app.storage.local import LocalStore
from app.types import Skip, Vectors, image_id_of
from indexer import run
from indexer.progress import JsonProgress
from indexer.run import Options
from tests.indexer.picture_collection import Collection, CountingEmbedder, png, some_settings
from tests.support.stores import WrappedStore
from tests.support.tiny_models import build_tiny_clip

REBUILD = Options(rebuild=True)


class FailingStore(WrappedStore):
    """Cannot hand out some objects: raises what `failures` says for a key, or for any key under None."""

    def __init__(self, inner: LocalStore, failures: dict[str | None, Exception]) -> None:
        super().__init__(inner)
        self.failures = failures

    def get(self, key: str) -> StoredObject:
        error = self.failures.get(key) or (None if key == LOCK_KEY else self.failures.get(None))
        if error:
            raise error
        return self.inner.get(key)


class CallbackStore(WrappedStore):
    """Calls back after the listing has ended, as others act between our listing and our publication."""

    def __init__(self, inner: LocalStore, after_listing: Callable[[], None]) -> None:
        super().__init__(inner)
        self._after_listing = after_listing

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        yield from self.inner.list(prefix, start_after=start_after)
        if not prefix:
            self._after_listing()


def local(collection: Collection) -> LocalStore:
    assert isinstance(collection.store, LocalStore)
    return collection.store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PUBLISH_PATIENCE_S", 0.0)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time; what was waited is here."""
    waited: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(waited), sleep=waited.append)
    monkeypatch.setattr(run, "time", clock)
    return waited


def test_first_run_indexes_every_picture_and_nothing_else(collection: Collection) -> None:
    for seed, key in enumerate(("a.png", "nature/b.PNG", "nature/beach/c.jpeg")):
        collection.put(key, seed)
    for key in ("notes.txt", "_thumbnails/x.png", "_uploads/y.png"):
        collection.store.put(key, png(9))

    report = collection.run()

    assert collection.indexed() == {"a.png", "nature/b.PNG", "nature/beach/c.jpeg"}
    assert (report.seen, report.added, report.embedded, report.left) == (3, 3, 3, 0)
    assert report.generation == collection.snapshot().pointer.generation
    assert report.images_per_s > 0
    assert not report.interrupted


def test_a_record_says_what_is_under_the_key(collection: Collection, real_embedder: DualEncoder) -> None:
    data = png(1, (30, 20))
    collection.store.put("nature/a.png", data)
    collection.run()

    (record,) = collection.snapshot().records.values()
    listed = collection.store.head("nature/a.png")
    assert (record.image_id, record.object_key) == (image_id_of("nature/a.png"), "nature/a.png")
    assert (record.etag, record.size_bytes, record.modified_at) == (listed.etag, len(data), listed.modified_at)
    assert (record.width, record.height) == (30, 20)
    image = decode_image(data, ImageSettings(max_bytes=1 << 20, max_pixels=1000)).image
    np.testing.assert_allclose(collection.vector("nature/a.png"), real_embedder.encode_images([image])[0], atol=1e-5)


def test_second_run_embeds_nothing_and_publishes_nothing(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    token = collection.snapshot().pointer.token

    report = collection.run()

    assert (report.unchanged, report.added, report.embedded, report.reused) == (10, 0, 0, 0)
    assert collection.embedder.batches == []
    assert collection.loaded == 0
    assert collection.snapshot().pointer.token == token


def test_changed_picture_is_embedded_again_and_gone_one_removed(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    before = collection.vector("1.png")
    collection.put("1.png", 100)
    collection.store.delete("2.png")

    report = collection.run()

    assert (report.added, report.changed, report.removed, report.unchanged, report.embedded) == (0, 1, 1, 2, 1)
    assert collection.indexed() == {"0.png", "1.png", "3.png"}
    assert not np.allclose(collection.vector("1.png"), before)


def test_moved_picture_costs_no_embedding(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"old/{seed}.png", seed)
    collection.run()
    vectors = {seed: collection.vector(f"old/{seed}.png") for seed in range(5)}
    for seed in range(5):
        collection.store.delete(f"old/{seed}.png")
        collection.put(f"new/{seed}.png", seed)

    report = collection.run()

    assert (report.added, report.moved, report.removed, report.reused, report.embedded) == (5, 5, 5, 5, 0)
    assert collection.loaded == 0
    assert collection.indexed() == {f"new/{seed}.png" for seed in range(5)}
    for seed in range(5):
        np.testing.assert_array_equal(collection.vector(f"new/{seed}.png"), vectors[seed])
    assert {(record.width, record.height) for record in collection.snapshot().records.values()} == {(12, 9)}


def test_copies_within_one_run_are_embedded_once(collection: Collection) -> None:
    for number in range(12):
        collection.put(f"{number:02}.png", seed=number % 2)

    report = collection.run()

    assert (report.added, report.embedded, report.reused, report.moved) == (12, 2, 10, 0)
    np.testing.assert_array_equal(collection.vector("01.png"), collection.vector("11.png"))


def test_a_copy_of_what_an_earlier_batch_embedded_takes_its_vector(collection: Collection) -> None:
    for number in range(12):
        collection.put(f"{number:02}.png", seed=number % 6)

    report = collection.run()

    assert collection.embedder.batches == [4, 2]
    assert (report.added, report.reused) == (12, 6)
    for number in range(6):
        np.testing.assert_array_equal(collection.vector(f"{number:02}.png"), collection.vector(f"{number + 6:02}.png"))
    assert len(np.unique(np.stack([collection.vector(f"{number:02}.png") for number in range(6)]), axis=0)) == 6


def test_a_key_that_the_store_refuses_is_skipped(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.put("b.png", 2)
    report = collection.run(store=FailingStore(local(collection), {"a.png": InvalidInput("no object key")}))
    assert [(problem.key, problem.reason) for problem in report.skipped] == [("a.png", "no object key")]
    assert collection.indexed() == {"b.png"}


def test_a_caption_goes_where_its_picture_goes(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    (record,) = collection.snapshot().records.values()
    captioned = Changes(added=(replace(record, caption="a dog"),), vectors=collection.vector("a.png")[None])
    Catalog(collection.store, collection.settings.index).publish(captioned, collection.embedder.identity)
    collection.put("copy/a.png", 1)

    collection.run()
    assert {record.caption for record in collection.snapshot().records.values()} == {"a dog"}
    collection.run(REBUILD)
    assert {record.caption for record in collection.snapshot().records.values()} == {"a dog"}


def test_batches_are_full_and_cover_everything(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    assert collection.embedder.batches == [4, 4, 2]


def test_broken_picture_is_named_and_retried_only_when_it_changes(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.store.put("broken.png", png(2)[:60])

    first = collection.run()
    assert [problem.key for problem in first.skipped] == ["broken.png"]
    assert first.added == 1

    reads = FailingStore(local(collection), {"broken.png": AssertionError("read again")})
    second = collection.run(store=reads)
    assert second.skipped == first.skipped

    collection.put("broken.png", 3)
    third = collection.run()
    assert (third.added, third.skipped) == (1, ())
    assert collection.indexed() == {"good.png", "broken.png"}
    assert not collection.snapshot().skipped


def test_retry_skipped_reads_again_what_did_not_change(collection: Collection) -> None:
    collection.settings = some_settings().model_copy(
        update={"image": collection.settings.image.model_copy(update={"max_pixels": 50})}
    )
    collection.put("a.png", 1)
    assert [problem.key for problem in collection.run().skipped] == ["a.png"]
    collection.settings = some_settings()
    assert len(collection.run().skipped) == 1
    assert collection.run(Options(retry_skipped=True)).added == 1
    assert not collection.snapshot().skipped


def test_picture_that_turns_into_rubbish_leaves_the_index(collection: Collection) -> None:
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.put("1.png", b"no picture at all")

    report = collection.run()

    assert (report.removed, report.changed, len(report.skipped)) == (1, 0, 1)
    assert collection.indexed() == {"0.png", "2.png"}
    collection.store.delete("1.png")
    assert collection.run().skipped == ()
    assert not collection.snapshot().skipped


def test_too_large_object_is_skipped_unread_and_taken_when_the_limit_allows(collection: Collection) -> None:
    collection.put("small.png", 1)
    collection.store.put("large.png", png(2, (60, 60)))
    collection.settings = some_settings(max_bytes=2000)

    report = collection.run(store=FailingStore(local(collection), {"large.png": AssertionError("downloaded")}))
    assert [problem.key for problem in report.skipped] == ["large.png"]
    assert "IMAGE_MAX_BYTES=2,000" in report.skipped[0].reason

    collection.settings = some_settings()
    assert collection.run().added == 1


def test_indexed_picture_that_grows_too_large_leaves_the_index(collection: Collection) -> None:
    collection.settings = some_settings(max_bytes=2000)
    collection.put("a.png", 1)
    collection.put("b.png", 2)
    collection.run()
    collection.store.put("a.png", png(3, (60, 60)))
    report = collection.run()
    assert (report.removed, len(report.skipped)) == (1, 1)
    assert collection.indexed() == {"b.png"}


def test_a_shrunken_listing_stops_the_run_and_says_how_to_insist(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    for seed in range(6):
        collection.store.delete(f"{seed}.png")
    collection.put("new.png", 77)

    with pytest.raises(ShrinkRefused, match=r"6 of the 10 .*--allow-shrink"):
        collection.run()
    assert len(collection.indexed()) == 10
    with pytest.raises(ShrinkRefused):
        collection.run(REBUILD)

    assert collection.run(Options(allow_shrink=True)).removed == 6
    assert collection.indexed() == {"6.png", "7.png", "8.png", "9.png", "new.png"}


def test_an_empty_listing_does_not_wipe_the_index(collection: Collection) -> None:
    collection.put("only.png", 1)
    collection.run()
    collection.store.delete("only.png")
    with pytest.raises(ShrinkRefused, match="1 of the 1"):
        collection.run()
    assert collection.indexed() == {"only.png"}


def test_half_may_go_without_a_word(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    collection.store.delete("1.png")
    assert collection.run().removed == 2


def test_an_empty_bucket_gets_an_empty_index(collection: Collection) -> None:
    report = collection.run()
    assert report.generation is not None
    assert collection.indexed() == set()


def test_an_object_that_vanishes_is_gone_not_broken(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.put("1.png", 50)
    collection.put("new.png", 51)
    lost = {key: ObjectNotFound(key) for key in ("1.png", "new.png")}

    report = collection.run(store=FailingStore(local(collection), dict(lost)))

    assert (report.vanished, report.skipped, report.removed) == (2, (), 1)
    assert collection.indexed() == {"0.png", "2.png", "3.png"}
    assert not collection.snapshot().skipped


def test_a_failed_read_is_tried_again_by_the_next_run(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.put("1.png", 50)
    collection.put("new.png", 51)
    errors = {key: StorageUnavailable("no answer") for key in ("1.png", "new.png")}

    report = collection.run(store=FailingStore(local(collection), dict(errors)))

    assert [(problem.key, problem.reason) for problem in report.failed] == [
        ("1.png", "no answer"),
        ("new.png", "no answer"),
    ]
    assert (report.skipped, report.removed) == ((), 0)
    assert len(collection.indexed()) == 4

    assert collection.run().embedded == 2
    assert "new.png" in collection.indexed()


def test_many_refused_objects_do_not_stop_a_run_while_the_storage_answers(collection: Collection) -> None:
    errors: dict[str | None, Exception] = {f"archived/{n:02}.png": StorageUnavailable("archived") for n in range(20)}
    for seed, key in enumerate([*(key for key in errors if key), "b.png"]):
        collection.put(key, seed)
    report = collection.run(store=FailingStore(local(collection), errors))
    assert (len(report.failed), report.added) == (20, 1)


def test_storage_that_goes_down_fails_the_run_without_removals(collection: Collection, impatient: None) -> None:
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    for seed in range(30):
        collection.put(f"new/{seed:02}.png", 100 + seed)
    down = FailingStore(local(collection), {})
    collection.embedder = CountingEmbedder(
        collection.embedder, before_batch=lambda: down.failures.update({None: StorageUnavailable("down")})
    )

    with pytest.raises(StorageUnavailable, match="down"):
        collection.run(store=down)

    assert "0.png" in collection.indexed()
    assert collection.run().removed == 1
    assert len(collection.indexed()) == 35


def test_work_is_kept_when_reading_fails_and_publishing_does_not(collection: Collection) -> None:
    """The probe fails once; what was embedded by then is published, nothing is removed."""
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    collection.put("a/first.png", 99)
    for number in range(8):
        collection.put(f"b/{number}.png", 200 + number)
    collection.settings = some_settings(batch_size=1)
    errors: dict[str | None, Exception] = {f"b/{number}.png": StorageUnavailable("down") for number in range(8)}

    class ProbeFails(FailingStore):
        pointer_reads = 0

        def get(self, key: str) -> StoredObject:
            if key == POINTER_KEY:
                self.pointer_reads += 1
                if self.pointer_reads == 2:
                    raise StorageUnavailable("down")
            return super().get(key)

    with pytest.raises(StorageUnavailable):
        collection.run(store=ProbeFails(local(collection), errors))
    assert collection.indexed() == {"0.png", "1.png", "2.png", "3.png", "a/first.png"}


def test_interrupted_run_publishes_what_is_done_and_the_next_goes_on(collection: Collection) -> None:
    for seed in range(20):
        collection.put(f"{seed:02}.png", seed)

    report = collection.run(stop=lambda: collection.embedder.embedded >= 8)

    assert (report.interrupted, report.added, report.left) == (True, 8, 12)
    assert len(collection.indexed()) == 8
    following = collection.run()
    assert (following.added, following.unchanged, following.embedded) == (12, 8, 12)


def test_interrupted_while_listing_nothing_changes(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    calls = itertools.count()
    report = collection.run(stop=lambda: next(calls) > 1)
    assert (report.interrupted, report.removed) == (True, 0)
    assert len(collection.indexed()) == 4


def test_rebuild_embeds_everything_again(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    generation = collection.run().generation
    collection.put("5.png", 5)

    report = collection.run(REBUILD)

    assert (report.embedded, report.unchanged, report.added) == (6, 5, 1)
    assert report.generation != generation
    assert len(collection.indexed()) == 6


def test_another_model_is_refused_with_both_named_until_rebuild(collection: Collection, tmp_path: Path) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    collection.run()
    old = collection.embedder.identity
    other = load_embedder(ModelSettings(name=str(build_tiny_clip(tmp_path / "other-clip", seed=1))))
    collection.embedder = CountingEmbedder(other)

    with pytest.raises(IndexMismatch) as caught:
        collection.run()
    for word in (old.fingerprint, other.identity.fingerprint, "other-clip", "--rebuild"):
        assert word in str(caught.value)

    with pytest.raises(AppError, match="--rebuild"):
        collection.run(REBUILD, stop=lambda: collection.embedder.embedded >= 4)
    assert collection.snapshot().pointer.model.fingerprint == old.fingerprint

    assert collection.run(REBUILD).embedded == 5
    assert collection.snapshot().pointer.model.fingerprint == other.identity.fingerprint


def test_vectors_in_another_arithmetic_join_an_index_with_a_word(
    collection: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    collection.put("1.png", 1)
    collection.run()
    own = collection.embedder.identity
    collection.embedder.identity = replace(own, precision="bf16", agreement=0.9991)
    collection.put("2.png", 2)
    with caplog.at_level(logging.WARNING, "indexer"):
        collection.run()
    words = f"1 vectors made in bf16 {own.runtime} join an index made in fp32 {own.runtime}"
    assert words in caplog.text
    assert collection.snapshot().pointer.made_with == (f"bf16 {own.runtime}", f"fp32 {own.runtime}")
    caplog.clear()
    collection.run(REBUILD)
    assert collection.snapshot().pointer.made_with == (f"bf16 {own.runtime}",)
    assert "join an index" not in caplog.text


def test_interrupted_rebuild_with_the_same_model_loses_nothing(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    report = collection.run(REBUILD, stop=lambda: collection.embedder.embedded >= 4)
    assert report.interrupted
    assert len(collection.indexed()) == 10


def test_rebuild_keeps_pictures_that_the_storage_did_not_hand_out(collection: Collection) -> None:
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    collection.run()
    report = collection.run(REBUILD, store=FailingStore(local(collection), {"1.png": StorageUnavailable("no answer")}))
    assert len(report.failed) == 1
    assert len(collection.indexed()) == 3


def test_damaged_index_needs_a_rebuild(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    collection.store.put(collection.snapshot().pointer.files[0].key, b"torn")
    with pytest.raises(IndexCorrupt):
        collection.run()
    assert collection.run(REBUILD).added == 1
    assert collection.indexed() == {"a.png"}


def test_what_others_publish_meanwhile_is_kept(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    before = collection.snapshot()
    template = next(iter(before.records.values()))
    collection.store.delete("0.png")
    collection.put("4.png", 4)

    def upload() -> None:
        """Somebody uploads a new picture, and one under the key that our listing just missed."""
        added = tuple(
            replace(template, image_id=image_id_of(key), object_key=key, etag=f"etag of {key}", content_hash=key)
            for key in ("uploaded.png", "0.png")
        )
        vectors = np.stack([before.vectors.get([next(iter(before.records))])[0]] * 2)
        Catalog(collection.store, collection.settings.index).publish(Changes(added, vectors), before.pointer.model)

    collection.run(store=CallbackStore(local(collection), upload))

    assert collection.indexed() == {"0.png", "1.png", "2.png", "3.png", "4.png", "uploaded.png"}


def test_two_runs_at_once_are_one_too_many(collection: Collection) -> None:
    collection.put("a.png", 1)
    with IndexLock(collection.store, ttl_s=60), pytest.raises(IndexBusy, match="lock"):
        collection.run()
    assert collection.run().added == 1


# A model that fails


class MoodyEmbedder(CountingEmbedder):
    """Raises `error` for what `refuses` says of a list of pictures."""

    def __init__(self, inner: CountingEmbedder, error: Exception, refuses: Callable[[list[bytes]], bool]) -> None:
        super().__init__(inner)
        self._error = error
        self._refuses = refuses

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        if self._refuses([image.tobytes() for image in images]):
            raise self._error
        return super().encode_images(images)

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)  # In full, else its bytes would not be known again.


def pixels(seed: int) -> bytes:
    return Image.open(io.BytesIO(png(seed))).tobytes()


def refusing(*seeds: int) -> Callable[[list[bytes]], bool]:
    refused = {pixels(seed) for seed in seeds}
    return lambda images: bool(refused & set(images))


MODEL_ERRORS = [
    RuntimeError("CUDA out of memory\nmore"),
    ModelUnavailable("vectors are no numbers"),
    MemoryError(),
    ValueError("odd shape"),
]


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=lambda error: type(error).__name__)
def test_pictures_that_the_model_refuses_are_named_and_the_others_are_indexed(
    collection: Collection, error: Exception
) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.put("copy of 3.png", 3)
    whole = collection.embedder
    collection.embedder = MoodyEmbedder(whole, error, refusing(3, 6))

    report = collection.run()

    assert [problem.key for problem in report.failed] == ["3.png", "6.png", "copy of 3.png"]
    assert "The model can't embed it: " + (str(error).partition("\n")[0] or "MemoryError") == report.failed[0].reason
    assert (report.added, report.embedded, report.left) == (8, 8, 0)
    assert len(collection.indexed()) == 8
    collection.embedder = whole
    following = collection.run()
    assert (following.added, following.failed, following.unchanged) == (3, (), 8)
    np.testing.assert_allclose(collection.vector("7.png"), alone(collection, 7), atol=1e-5)


def alone(collection: Collection, seed: int) -> Vectors:
    """The vector of one picture, embedded by itself."""
    image = decode_image(png(seed), ImageSettings(max_bytes=1 << 20, max_pixels=1000)).image
    row: Vectors = collection.embedder.encode_images([image])[0]
    return row


def test_too_much_for_the_model_at_once_is_embedded_in_parts(collection: Collection) -> None:
    for seed in range(9):
        collection.put(f"{seed}.png", seed)
    error = RuntimeError("CUDA out of memory")
    collection.embedder = MoodyEmbedder(collection.embedder, error, lambda images: len(images) > 2)
    report = collection.run()
    assert (report.added, report.failed) == (9, ())
    assert collection.embedder.batches == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(collection.vector("3.png"), alone(collection, 3), atol=1e-5)


def test_pictures_that_are_refused_forever_do_not_stop_later_runs(collection: Collection) -> None:
    """They are all that is left to read, and yet the model is not to blame."""
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    collection.embedder = MoodyEmbedder(collection.embedder, ValueError("odd"), refusing(2, 3))
    collection.run()
    collection.store.delete("0.png")
    report = collection.run()
    assert ([problem.key for problem in report.failed], report.removed) == (["2.png", "3.png"], 1)
    assert collection.indexed() == {"1.png", "4.png", "5.png"}


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=lambda error: type(error).__name__)
def test_a_model_that_breaks_ends_the_run_and_what_was_done_is_kept(collection: Collection, error: Exception) -> None:
    for seed in range(4):
        collection.put(f"old/{seed}.png", seed)
    collection.run()
    collection.store.delete("old/0.png")
    for seed in range(10, 22):
        collection.put(f"new/{seed}.png", seed)
    whole = collection.embedder
    whole.batches.clear()
    collection.embedder = MoodyEmbedder(whole, error, lambda _: broken.embedded >= 8)
    broken = collection.embedder

    with pytest.raises(ModelUnavailable, match=r"vectors are no numbers|embeds nothing any more"):
        collection.run()

    assert collection.indexed() == {f"old/{n}.png" for n in range(4)} | {f"new/{n}.png" for n in range(10, 18)}
    collection.embedder = whole
    assert (collection.run().embedded, len(collection.indexed())) == (4, 15)


def test_what_nobody_expected_ends_the_run_and_what_was_done_is_kept(collection: Collection) -> None:
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.settings = some_settings(look_ahead=4)
    errors: dict[str | None, Exception] = {"10.png": RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        collection.run(store=FailingStore(local(collection), errors))
    assert collection.indexed() == {f"{seed:02}.png" for seed in range(8)}


def test_work_for_another_model_is_not_mixed_into_the_index_when_the_run_fails(
    collection: Collection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.run()
    token = collection.snapshot().pointer.token
    other = load_embedder(ModelSettings(name=str(build_tiny_clip(tmp_path / "other-clip", seed=1))))
    collection.embedder = CountingEmbedder(other)
    collection.settings = some_settings(look_ahead=4)
    errors: dict[str | None, Exception] = {"10.png": RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        collection.run(REBUILD, store=FailingStore(local(collection), errors))
    assert collection.embedder.embedded == 8
    assert collection.snapshot().pointer.token == token
    assert "could not be published" not in caplog.text, "it was not even tried"


# Progress that nobody reads, and a storage that stutters


class ClosedPipe(io.StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > 2:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_run_outlives_whoever_followed_its_progress(collection: Collection) -> None:
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    out = ClosedPipe()
    assert collection.run(progress=JsonProgress(out)).added == 6
    assert len(collection.indexed()) == 6
    assert out.writes <= 4, "asked once more at the end at most"


class StutteringStore(WrappedStore):
    """Refuses the first writes of the pointer."""

    def __init__(self, inner: LocalStore, refusals: int, *, written: bool = False) -> None:
        super().__init__(inner)
        self.refusals = refusals
        self._written = written

    def put(self, key: str, body: bytes | BinaryIO, **options: Any) -> str:
        if key != POINTER_KEY or self.refusals == 0:
            return self.inner.put(key, body, **options)
        self.refusals -= 1
        if self._written:
            self.inner.put(key, body, **options)
        raise StorageUnavailable("a hiccup")

    def get(self, key: str) -> StoredObject:
        if key == POINTER_KEY and self._written and self.inner.get(key):
            self._written = False
            raise StorageUnavailable("a hiccup")
        return self.inner.get(key)


@pytest.mark.parametrize("options", [Options(), REBUILD], ids=["plain", "rebuild"])
def test_publishing_is_tried_again(collection: Collection, pauses: list[float], options: Options) -> None:
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    assert collection.run(options, store=StutteringStore(local(collection), 3)).added == 3
    assert len(collection.indexed()) == 3
    assert sum(pauses) == pytest.approx(1 + 2 + 4, abs=0.5)


def test_publishing_is_given_up_in_the_end(collection: Collection, pauses: list[float]) -> None:
    collection.put("a.png", 1)
    with pytest.raises(StorageUnavailable, match="a hiccup"):
        collection.run(store=StutteringStore(local(collection), 10**9))
    assert 200 < sum(pauses) <= run.PUBLISH_PATIENCE_S


def test_a_stop_ends_the_patience(collection: Collection, pauses: list[float]) -> None:
    collection.put("a.png", 1)
    with pytest.raises(StorageUnavailable, match="a hiccup"):
        collection.run(store=StutteringStore(local(collection), 10**9), stop=lambda: sum(pauses) > 2)
    assert sum(pauses) < 3


def test_eight_failures_that_are_not_in_a_row_need_no_probe(collection: Collection) -> None:
    for number in range(9):
        collection.put(f"{number}.png", number)
    failing = [n for n in range(9) if n != 4]
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("archived") for n in failing}

    class Probed(FailingStore):
        pointer_reads = 0

        def get(self, key: str) -> StoredObject:
            self.pointer_reads += key == POINTER_KEY
            return super().get(key)

    def pointer_reads() -> int:
        store = Probed(local(collection), errors)
        assert len(collection.run(store=store).failed) == 8
        return store.pointer_reads

    collection.run(store=FailingStore(local(collection), errors))
    collection.put("4.png", 40)
    apart = pointer_reads()
    in_a_row = pointer_reads()
    assert (apart, in_a_row) == (3, 2), "load, look what others published, publish; load and probe"


def test_the_probe_does_not_read_the_index(collection: Collection) -> None:
    """The index to be rebuilt is damaged, and that says nothing of the storage."""
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.run()
    collection.store.delete(collection.snapshot().pointer.files[0].key)
    errors: dict[str | None, Exception] = {f"{n:02}.png": StorageUnavailable("timeout") for n in range(9)}
    report = collection.run(REBUILD, store=FailingStore(local(collection), errors))
    assert (len(report.failed), report.added) == (9, 3)


# Losses that only reading shows


@pytest.mark.parametrize("options", [Options(), REBUILD], ids=["plain", "rebuild"])
def test_pictures_that_all_turn_into_rubbish_stay_until_insisted(collection: Collection, options: Options) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    for seed in range(8):
        collection.store.put(f"{seed}.png", b"")
    collection.put("new.png", 50)
    with pytest.raises(ShrinkRefused, match=r"8 of the 10 .*nothing was removed.*--allow-shrink"):
        collection.run(options)
    assert collection.indexed() == {f"{n}.png" for n in range(10)} | {"new.png"}, "what was embedded is kept"

    assert collection.run(replace(options, allow_shrink=True)).removed == 8
    assert collection.indexed() == {"8.png", "9.png", "new.png"}


def test_a_rebuild_over_objects_that_all_vanish_is_refused(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    errors: dict[str | None, Exception] = {f"{n}.png": ObjectNotFound("gone") for n in range(10)}
    with pytest.raises(ShrinkRefused, match="10 of the 10"):
        collection.run(REBUILD, store=FailingStore(local(collection), errors))
    assert len(collection.indexed()) == 10


def test_pictures_that_all_grow_too_large_stay_until_insisted(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.settings = some_settings(max_bytes=10)
    with pytest.raises(ShrinkRefused, match="4 of the 4"):
        collection.run(REBUILD)
    assert len(collection.indexed()) == 4


def test_a_rebuild_for_another_model_does_not_drop_what_the_storage_refuses(
    collection: Collection, tmp_path: Path
) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    other = load_embedder(ModelSettings(name=str(build_tiny_clip(tmp_path / "other-clip", seed=1))))
    collection.embedder = CountingEmbedder(other)
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("no") for n in range(3)}
    with pytest.raises(ShrinkRefused, match="3 of the 4"):
        collection.run(REBUILD, store=FailingStore(local(collection), errors))
    assert len(collection.indexed()) == 4


def test_an_interrupted_move_is_no_loss(collection: Collection) -> None:
    for seed in range(8):
        collection.put(f"old/{seed}.png", seed)
    collection.run()
    for seed in range(8):
        collection.store.delete(f"old/{seed}.png")
        collection.put(f"new/{seed}.png", seed)
    calls = itertools.count()
    report = collection.run(stop=lambda: next(calls) > 12)
    assert (report.interrupted, report.removed) == (True, 0), "the vectors are still needed"
    following = collection.run()
    assert (following.embedded, following.removed) == (0, 8)
    assert collection.indexed() == {f"new/{n}.png" for n in range(8)}


# Runs that leave nothing behind


def test_a_first_run_that_could_read_nothing_publishes_nothing(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("no answer") for n in range(5)}
    with pytest.raises(AppError, match=r"None of 5 pictures .*0\.png: no answer"):
        collection.run(store=FailingStore(local(collection), errors))
    assert Catalog(collection.store, collection.settings.index).load() is None


def test_a_first_run_interrupted_before_anything_was_done_says_so(collection: Collection) -> None:
    collection.put("a.png", 1)
    with pytest.raises(AppError, match="first run was interrupted"):
        collection.run(stop=lambda: True)
    assert Catalog(collection.store, collection.settings.index).load() is None


# Objects that change between the listing and the reading


def test_the_index_knows_the_bytes_that_were_read_not_those_that_were_listed(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.put("broken.png", 2)

    def replace_both() -> None:
        collection.put("good.png", 3)
        collection.store.put("broken.png", b"rubbish")

    first = collection.run(store=CallbackStore(local(collection), replace_both))
    assert [skip.key for skip in first.skipped] == ["broken.png"]
    (record,) = collection.snapshot().records.values()
    assert record.etag == collection.store.head("good.png").etag

    never = dict.fromkeys(("good.png", "broken.png"), AssertionError("read again"))
    second = collection.run(store=FailingStore(local(collection), {**never}))
    assert (second.unchanged, second.skipped) == (1, first.skipped)


def test_a_broken_picture_that_vanishes_before_it_is_read_again_is_forgotten(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.store.put("broken.png", b"rubbish")
    collection.run()
    delete = CallbackStore(local(collection), lambda: collection.store.delete("broken.png"))
    assert collection.run(Options(retry_skipped=True), store=delete).vanished == 1
    assert not collection.snapshot().skipped


def test_a_picture_that_others_indexed_meanwhile_is_not_called_broken(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.run()
    before = collection.snapshot()
    (template,) = before.records.values()
    collection.store.put("new.png", b"rubbish")
    collection.store.put("worse.png", b"rubbish")

    def upload() -> None:
        """Others index the one, after replacing it, and find the other broken in another state."""
        record = replace(template, image_id=image_id_of("new.png"), object_key="new.png", etag="theirs")
        theirs = Changes((record,), collection.vector("good.png")[None], skipped=(Skip("worse.png", "theirs", "x"),))
        Catalog(collection.store, collection.settings.index).publish(theirs, before.pointer.model)

    collection.run(store=CallbackStore(local(collection), upload))

    assert collection.indexed() == {"good.png", "new.png"}
    assert collection.snapshot().skipped == {"worse.png": Skip("worse.png", "theirs", "x")}
