"""Whole runs in process, over a real store, the real catalog and a real (tiny) model."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.catalog.changes import Changes
from app.catalog.layout import LOCK_KEY, POINTER_KEY
from app.catalog.lock import IndexLock
from app.errors import (
    AppError,
    IndexBusy,
    InvalidInput,
    ObjectNotFound,
    ShrinkRefused,
    StorageUnavailable,
)
from app.indexing.messages import Unindexed
from app.models.embedder import DualEncoder
from app.pictures.decoding import decode_image
from app.settings import ImageSettings
from app.storage.base import StoredObject
from app.types import image_id_of
from indexer.plan import Options
from indexer.progress import JsonProgress
from tests.indexer.picture_collection import (
    CallbackStore,
    Collection,
    FailingStore,
    png,
    some_settings,
)
from tests.support.catalogs import catalog_on
from tests.support.picture_files import jpeg_with_scans
from tests.support.pictures import encoded, smooth
from tests.support.stores import InterferingStore

REBUILD = Options(rebuild=True)


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


def test_a_key_that_the_store_refuses_is_skipped(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.put("b.png", 2)
    report = collection.run(store=FailingStore(collection.store, {"a.png": InvalidInput("no object key")}))
    assert [(problem.key, problem.reason) for problem in report.skipped] == [("a.png", "no object key")]
    assert collection.indexed() == {"b.png"}


def test_a_caption_goes_where_its_picture_goes(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    (record,) = collection.snapshot().records.values()
    captioned = Changes(added=(replace(record, caption="a dog"),), vectors=collection.vector("a.png")[None])
    catalog_on(collection.store, collection.settings.index).publish(captioned, collection.embedder.identity)
    collection.put("copy/a.png", 1)

    collection.run()
    assert {record.caption for record in collection.snapshot().records.values()} == {"a dog"}
    collection.run(REBUILD)
    assert {record.caption for record in collection.snapshot().records.values()} == {"a dog"}


def test_nothing_is_published_over_an_empty_bucket_unless_told(collection: Collection) -> None:
    """A disk that is not mounted looks like this: its index is gone too, so nothing can be compared."""
    for options in (Options(), REBUILD):
        with pytest.raises(ShrinkRefused, match=r"mount the disk .*--allow-shrink"):
            collection.run(options)
    assert collection.catalog().load() is None
    assert list(collection.store.list()) == []
    assert collection.run(Options(allow_shrink=True)).generation is not None
    assert collection.indexed() == set()
    assert collection.run().seen == 0, "an index that is empty already is no loss"


def test_a_bucket_without_pictures_gets_an_empty_index(collection: Collection) -> None:
    collection.store.put("notes.txt", b"x")
    assert collection.run().generation is not None
    assert collection.indexed() == set()


def test_a_damaged_index_is_not_replaced_by_an_empty_one(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    collection.store.put(POINTER_KEY, b"torn")
    collection.store.delete("a.png")
    with pytest.raises(ShrinkRefused):
        collection.run(REBUILD)
    assert collection.store.get(POINTER_KEY).data == b"torn"


def test_a_first_run_whose_pictures_all_vanish_publishes_nothing(collection: Collection) -> None:
    collection.put("a.png", 1)
    with pytest.raises(AppError, match="still mounted"):
        collection.run(store=FailingStore(collection.store, {"a.png": ObjectNotFound("a.png")}))
    assert collection.catalog().load() is None


def test_an_object_that_vanishes_is_gone_not_broken(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.put("1.png", 50)
    collection.put("new.png", 51)
    lost = {key: ObjectNotFound(key) for key in ("1.png", "new.png")}

    report = collection.run(store=FailingStore(collection.store, dict(lost)))

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

    report = collection.run(store=FailingStore(collection.store, dict(errors)))

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
    report = collection.run(store=FailingStore(collection.store, errors))
    assert (len(report.failed), report.added) == (20, 1)


def test_interrupted_run_publishes_what_is_done_and_the_next_goes_on(collection: Collection) -> None:
    for seed in range(20):
        collection.put(f"{seed:02}.png", seed)

    report = collection.run(stop=lambda: collection.embedder.embedded >= 8)

    assert (report.interrupted, report.added, report.left) == (True, 8, 12)
    assert len(collection.indexed()) == 8
    following = collection.run()
    assert (following.added, following.unchanged, following.embedded) == (12, 8, 12)


def test_rebuild_embeds_everything_again(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    generation = collection.run().generation
    collection.put("5.png", 5)

    report = collection.run(REBUILD)

    assert (report.embedded, report.unchanged, report.added) == (6, 5, 1)
    assert report.generation != generation
    assert len(collection.indexed()) == 6


def test_two_runs_at_once_are_one_too_many(collection: Collection) -> None:
    collection.put("a.png", 1)
    with IndexLock(collection.store, ttl_s=1), pytest.raises(IndexBusy, match="lock"):
        collection.run()
    assert collection.run().added == 1


class ClosedPipe(io.StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > 2:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_run_goes_on_when_the_reader_of_its_progress_is_gone(collection: Collection) -> None:
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    out = ClosedPipe()
    assert collection.run(progress=JsonProgress(out)).added == 6
    assert len(collection.indexed()) == 6
    assert out.writes <= 4, "asked once more at the end at most"


def test_eight_failures_that_are_not_in_a_row_need_no_probe(collection: Collection) -> None:
    for number in range(9):
        collection.put(f"{number}.png", number)
    failing = [n for n in range(9) if n != 4]
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("archived") for n in failing}

    class Probed(FailingStore):
        pointer_reads = 0

        def get(self, key: str, **options: Any) -> StoredObject:
            self.pointer_reads += key == POINTER_KEY
            return super().get(key, **options)

    def pointer_reads() -> int:
        store = Probed(collection.store, errors)
        assert len(collection.run(store=store).failed) == 8
        return store.pointer_reads

    collection.run(store=FailingStore(collection.store, errors))
    collection.put("4.png", 40)
    apart = pointer_reads()
    in_a_row = pointer_reads()
    assert (apart, in_a_row) == (2, 2), "load and publish, without a probe; load and probe"


def test_the_probe_does_not_read_the_index(collection: Collection) -> None:
    """The index to be rebuilt is damaged, and that says nothing of the storage."""
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.run()
    collection.store.delete(collection.snapshot().pointer.files[0].key)
    errors: dict[str | None, Exception] = {f"{n:02}.png": StorageUnavailable("timeout") for n in range(9)}
    report = collection.run(REBUILD, store=FailingStore(collection.store, errors))
    assert (len(report.failed), report.added) == (9, 3)


def test_the_index_knows_the_bytes_that_were_read_not_those_that_were_listed(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.put("broken.png", 2)

    def replace_both() -> None:
        collection.put("good.png", 3)
        collection.store.put("broken.png", b"rubbish")

    first = collection.run(store=CallbackStore(collection.store, replace_both))
    assert [skip.key for skip in first.skipped] == ["broken.png"]
    (record,) = collection.snapshot().records.values()
    assert record.etag == collection.store.head("good.png").etag

    never = dict.fromkeys(("good.png", "broken.png"), AssertionError("read again"))
    second = collection.run(store=FailingStore(collection.store, {**never}))
    assert (second.unchanged, second.skipped) == (1, first.skipped)


def test_a_broken_picture_that_vanishes_before_it_is_read_again_is_forgotten(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.store.put("broken.png", b"rubbish")
    collection.run()
    delete = CallbackStore(collection.store, lambda: collection.store.delete("broken.png"))
    assert collection.run(Options(retry_skipped=True), store=delete).vanished == 1
    assert not collection.snapshot().skipped


def test_a_run_that_stood_still_past_its_lock_lays_no_older_row_over_a_newer_one(collection: Collection) -> None:
    """Before it publishes, the files change, its lock is taken over, and another run ends. Each kind of change once."""
    for name in ("same", "changed", "changed twice", "removed", "removed after a change"):
        collection.put(f"{name}.png", 1)
    collection.run()
    for seed, name in enumerate(("changed twice", "removed after a change", "new", "new and changed"), 10):
        collection.put(f"{name}.png", seed)

    def others() -> None:
        collection.store.delete(LOCK_KEY)
        for seed, name in enumerate(("changed", "changed twice", "new and changed", "later"), 20):
            collection.put(f"{name}.png", seed)
        for name in ("removed", "removed after a change"):
            collection.store.delete(f"{name}.png")
        collection.run()

    stopped = InterferingStore(collection.store, POINTER_KEY, others)
    collection.run(store=stopped)

    assert stopped.interfered
    listed = {info.key: info.etag for info in collection.store.list() if info.key.endswith(".png")}
    assert {each.object_key: each.etag for each in collection.snapshot().records.values()} == listed


def test_pictures_without_a_suffix_are_found_and_other_files_are_counted_by_kind(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.put("uploads/3f9c2a", 2)
    collection.put("b.png?width=800", 3)
    others = {
        "film.mp4": b"x",
        "clip.MOV": b"x",
        "doc.pdf": b"x",
        "README": b"words",
        "scan": b"%PDF-1.7",
        "image.raw7": b"x",
    }
    for key, data in others.items():
        collection.store.put(key, data)
    kinds = {"video": 2, "PDF": 2, "unknown": 2}
    for embedded in (3, 0):
        report = collection.run()
        assert (report.seen, report.added + report.unchanged, report.embedded) == (3, 3, embedded)
        assert (report.passed_over, report.skipped, report.left) == (kinds, (), 0)
    assert collection.indexed() == {"a.png", "uploads/3f9c2a", "b.png?width=800"}


def test_files_that_were_recognised_once_are_not_read_again_until_they_change(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.store.put("README", b"words")
    collection.run()
    report = collection.run(store=FailingStore(collection.store, {"README": StorageUnavailable("read again")}))
    assert (report.passed_over, report.failed) == ({"unknown": 1}, ())
    collection.put("README", 2)
    assert collection.run().added == 1


def test_a_large_file_of_unknown_kind_is_not_read_and_an_indexed_one_stays(collection: Collection) -> None:
    collection.put("3f9c2a", 1)
    collection.run()
    collection.settings = some_settings(max_bytes=10)
    collection.put("other", 2)
    report = collection.run()
    assert (report.unchanged, report.removed, report.passed_over) == (1, 0, {"unknown": 1})


def test_damaged_pictures_are_indexed_and_named(collection: Collection) -> None:
    file = encoded(smooth(320, 240), "JPEG")[:-2]
    for key in ("a.jpg", "b.jpg"):
        collection.store.put(key, file)
    report = collection.run()
    assert report.added == 2
    assert report.damaged == tuple(
        Unindexed(key, "The file is damaged: all of the picture can be seen.") for key in ("a.jpg", "b.jpg")
    )


def test_a_picture_that_costs_too_much_is_named_and_the_others_are_indexed(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.store.put("bomb.jpg", jpeg_with_scans(500))
    collection.put("c.png", 2)
    (skipped,) = (report := collection.run()).skipped
    assert report.added == 2
    assert skipped.key == "bomb.jpg"
    assert "scans" in skipped.reason
