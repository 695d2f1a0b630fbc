"""The indexer describes what is new or changed, and with `--captions` what has no caption yet."""

import io
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from app.catalog.snapshot import Snapshot
from app.errors import ModelUnavailable, NotConfigured, StorageUnavailable
from app.models.captioner.lazy import LazyCaptioner
from app.models.embedder import DualEncoder
from app.storage.local import LocalStore
from app.types import PERSON, ImageRecord
from indexer.captioning import CaptionFiller
from indexer.local_executor import LocalExecutor
from indexer.plan import Options, Run
from indexer.progress import SilentProgress
from indexer.report import summary
from indexer.results import ResultCollector
from indexer.run import run_index
from indexer.signals import NeverStop
from tests.indexer.picture_collection import (
    CallbackStore,
    Collection,
    CountedStop,
    CountingEmbedder,
    FailingStore,
    png,
    some_settings,
)
from tests.indexer.test_results import change, record_of
from tests.support.captions import NAME, FakeCaptioner, caption_of, lazily
from tests.support.pictures import encoded, smooth

FILL = Options(captions=True)
REBUILD = Options(rebuild=True)


@pytest.fixture
def captioner(collection: Collection) -> FakeCaptioner:
    collection.captioner = FakeCaptioner()
    return collection.captioner


def caption(seed: int) -> str:
    with Image.open(io.BytesIO(png(seed))) as image:
        return caption_of(image.resize((24, 24), 2))


def captions(collection: Collection) -> dict[str, str | None]:
    return {record.object_key: record.caption for record in collection.snapshot().records.values()}


def test_new_and_changed_pictures_are_described(collection: Collection, captioner: FakeCaptioner) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    report = collection.run()
    assert captions(collection) == {f"{seed}.png": caption(seed) for seed in range(5)}
    assert record_of(collection, "1.png").caption_by == NAME
    assert (report.captioned, report.caption_failed) == (5, ())
    assert "5 pictures captioned" in summary(report)
    collection.put("0.png", 50)
    report = collection.run()
    assert captions(collection)["0.png"] == caption(50)
    assert (report.changed, report.captioned, captioner.described) == (1, 1, 6)


def test_equal_bytes_are_described_once_and_a_moved_picture_keeps_its_caption(
    collection: Collection, captioner: FakeCaptioner
) -> None:
    for key in ("a.png", "b/a.png"):
        collection.put(key, 1)
    collection.run()
    collection.store.delete("a.png")
    collection.put("c/moved.png", 1)
    report = collection.run()
    assert captions(collection) == {"b/a.png": caption(1), "c/moved.png": caption(1)}
    assert captioner.described == 1
    assert report.captioned == 0


def test_words_of_a_person_stay_and_cost_the_captioner_nothing(
    collection: Collection, captioner: FakeCaptioner
) -> None:
    for seed, key in enumerate(("mine.png", "deleted.png", "other.png")):
        collection.put(key, seed)
    collection.run()
    change(collection, "mine.png", caption="my boat", caption_by=PERSON)
    change(collection, "deleted.png", caption=None, caption_by=PERSON)
    collection.put("mine.png", 10)
    report = collection.run(replace(FILL, rebuild=True))
    assert captions(collection) == {"mine.png": "my boat", "deleted.png": None, "other.png": caption(2)}
    assert record_of(collection, "mine.png").caption_by == PERSON
    assert (report.captioned, captioner.described) == (0, 3)


def test_a_rebuild_keeps_captions_of_the_same_captioner_and_replaces_those_of_another(
    collection: Collection, captioner: FakeCaptioner
) -> None:
    collection.put("a.png", 1)
    collection.run()
    change(collection, "a.png", caption="said before", caption_by=NAME)
    collection.run(REBUILD)
    assert captions(collection) == {"a.png": "said before"}
    collection.captioner = None
    collection.run(REBUILD)
    assert captions(collection) == {"a.png": "said before"}
    collection.captioner = FakeCaptioner("another/captioner")
    assert collection.run(REBUILD).captioned == 1
    record = record_of(collection, "a.png")
    assert (record.caption, record.caption_by) == (caption(1), "another/captioner")


def test_vectors_are_the_same_with_and_without_a_captioner(
    tmp_path: Path, real_embedder: DualEncoder, captioner: FakeCaptioner
) -> None:
    """Also for photographs, which are decoded in fewer pixels than they have."""
    vectors = {}
    for name, size in (("without", None), ("small", 24), ("large", 900)):
        (tmp_path / name).mkdir()
        collection = Collection(LocalStore(tmp_path / name), CountingEmbedder(real_embedder))
        if size:
            collection.captioner = FakeCaptioner()
            collection.captioner.resize = replace(captioner.resize, width=size, height=size)
        collection.put("a.png", 1)
        collection.store.put("photo.jpg", encoded(smooth(1600, 1200), "JPEG"))
        collection.run()
        vectors[name] = b"".join(collection.vector(key).tobytes() for key in ("a.png", "photo.jpg"))
        if size:
            assert str(captions(collection)["photo.jpg"]).endswith(f"{size}x{size}")
    assert vectors["without"] == vectors["small"] == vectors["large"]


def test_a_picture_that_can_not_be_described_is_indexed_and_named(
    collection: Collection, captioner: FakeCaptioner
) -> None:
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    captioner.refused = {caption(3)}
    report = collection.run()
    assert len(collection.indexed()) == report.added == 6
    assert (report.captioned, [each.key for each in report.caption_failed]) == (5, ["3.png"])
    assert report.caption_failed[0].reason == "The captioner can't describe it: no words for it"
    assert "without caption 3.png" in summary(report)
    captioner.refused = set()
    assert collection.run().captioned == 0
    assert collection.run(FILL).captioned == 1
    assert captions(collection)["3.png"] == caption(3)


def test_a_captioner_that_can_not_be_loaded_ends_the_run_before_any_work(collection: Collection) -> None:
    def refuse() -> FakeCaptioner:
        raise ModelUnavailable("The captioner can't be used. Set CAPTION_MODEL.")

    collection.put("a.png", 1)
    parts = replace(collection.parts(), captioner=LazyCaptioner(lambda: NAME, lambda: FakeCaptioner.resize, refuse))
    with pytest.raises(ModelUnavailable, match="Set CAPTION_MODEL"):
        run_index(parts, Options(), SilentProgress(), CountedStop())
    assert collection.catalog().load() is None
    assert collection.embedder.embedded == 0


def test_captions_without_a_captioner(collection: Collection) -> None:
    with pytest.raises(NotConfigured, match="Set CAPTION_MODEL to `demo`"):
        collection.run(FILL)


def filled(collection: Collection, count: int = 20) -> FakeCaptioner:
    """`count` indexed pictures without a caption, and a captioner for the next run."""
    for seed in range(count):
        collection.put(f"{seed:02}.png", seed)
    collection.run()
    collection.captioner = FakeCaptioner()
    return collection.captioner


def test_missing_captions_are_filled_in_and_nothing_else(collection: Collection) -> None:
    captioner = filled(collection, 6)
    change(collection, "01.png", caption="my boat", caption_by=PERSON)
    change(collection, "02.png", caption="a boat", caption_by="another/captioner")
    before = collection.vector("03.png").tobytes()
    report = collection.run(FILL)
    assert (report.captioned, report.embedded, report.unchanged, captioner.described) == (4, 0, 6, 4)
    assert captions(collection) == {f"{seed:02}.png": caption(seed) for seed in (0, 3, 4, 5)} | {
        "01.png": "my boat",
        "02.png": "a boat",
    }
    assert collection.vector("03.png").tobytes() == before
    assert collection.loaded == 0
    generation = collection.snapshot().pointer.token
    assert collection.run(FILL).captioned == 0
    assert collection.snapshot().pointer.token == generation


def test_a_captioner_that_says_nothing_is_not_asked_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = filled(collection, 1)
    monkeypatch.setattr(captioner, "caption", lambda images: [""] * len(images))
    assert collection.run(FILL).captioned == 1
    record = record_of(collection, "00.png")
    assert (record.caption, record.caption_by) == (None, NAME)
    assert collection.run(FILL).captioned == 0


def test_a_file_that_changed_or_went_after_the_listing_is_left_to_the_next_run(collection: Collection) -> None:
    filled(collection, 3)

    def act() -> None:
        collection.put("01.png", 101)
        collection.store.delete("02.png")

    store = CallbackStore(collection.store, act)
    report = collection.run(replace(FILL, allow_shrink=True), store=store)
    assert (report.captioned, report.caption_failed) == (1, ())
    assert collection.run(replace(FILL, allow_shrink=True)).captioned == 1
    assert captions(collection) == {"00.png": caption(0), "01.png": caption(101)}


def test_words_that_come_while_captions_are_filled_in_stay(collection: Collection) -> None:
    filled(collection, 2)

    def write() -> None:
        change(collection, "00.png", caption="my boat", caption_by=PERSON, tags=("boat",))
        change(collection, "01.png", tags=("sea",))

    collection.captioner = FakeCaptioner(before_batch=write)
    collection.run(FILL)
    first, second = record_of(collection, "00.png"), record_of(collection, "01.png")
    assert (first.caption, first.caption_by, first.tags) == ("my boat", PERSON, ("boat",))
    assert (second.caption, second.caption_by, second.tags) == (caption(1), NAME, ("sea",))


def test_a_stop_publishes_what_is_described_and_the_next_run_goes_on(collection: Collection) -> None:
    captioner = filled(collection)
    report = collection.run(FILL, stop=lambda: len(captioner.batches) >= 1)
    assert report.interrupted
    done = report.captioned
    assert 0 < done < 20
    assert sum(text is not None for text in captions(collection).values()) == done
    assert collection.run(FILL).captioned == 20 - done
    assert captioner.described == 20


def test_pictures_that_the_storage_does_not_return_are_tried_again(collection: Collection) -> None:
    filled(collection, 3)
    store = FailingStore(collection.store, {"01.png": StorageUnavailable("The storage does not answer.")})
    report = collection.run(FILL, store=store)
    assert (report.captioned, [each.key for each in report.caption_failed]) == (2, ["01.png"])
    assert collection.run(FILL).captioned == 1


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_publishing_takes_a_small_part_of_the_time(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch takes a second and each publication half a second: so every fifth batch is followed by one."""
    clock = _Clock()
    captioner = filled(collection, 120)
    collection.settings = some_settings(batch_size=4, look_ahead=4)
    published = []

    class Publisher:
        def publish_words(self, records: Sequence[ImageRecord], since: Snapshot) -> Snapshot:
            published.append((len(captioner.batches), len(records)))
            clock.now += 0.5
            return since

    def tick() -> None:
        clock.now += 1

    captioner = FakeCaptioner(before_batch=tick)
    collection.captioner = captioner
    parts = collection.parts()
    run = Run(parts, FILL, SilentProgress(), NeverStop())
    collector = ResultCollector({}, {}, progress=run.progress, check_storage=lambda: None)
    filler = CaptionFiller(run, collection.snapshot(), cast(Any, Publisher()), collector, clock)
    filler.fill(LocalExecutor(parts, {}, collector))
    assert [batches for batches, _ in published] == [1, 6, 11, 16, 21, 26, 30]
    assert sum(records for _, records in published) == 120


def test_a_kill_loses_one_batch_at_most(tmp_path: Path, collection: Collection) -> None:
    """SIGKILL in the middle of the fourth batch; the next run describes the rest, and nothing twice."""
    captioner = filled(collection)
    command = [sys.executable, "-m", "tests.indexer.captioning_until_killed", str(tmp_path / "bucket"), "4"]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    described = {key for key, text in captions(collection).items() if text is not None}
    assert len(described) == 3 * 4
    again = replace(collection.parts(), captioner=lazily(captioner), settings=some_settings(lock_ttl_s=3))
    run_index(again, FILL, SilentProgress(), CountedStop())
    assert captioner.described == 20 - len(described)
    assert captions(collection) == {f"{seed:02}.png": caption(seed) for seed in range(20)}
