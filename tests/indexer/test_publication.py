"""What a run publishes, refuses to remove, tries again and folds."""

import itertools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from app.bootstrap import parts
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.layout import POINTER_KEY
from app.errors import (
    AppError,
    ObjectNotFound,
    ShrinkRefused,
    StorageUnavailable,
)
from app.models.bank import find_bank
from app.settings import ModelSettings, SearchSettings
from app.storage.base import ObjectStore, StoredObject
from app.types import Skip, image_id_of
from indexer import publication
from indexer.plan import Options
from indexer.progress import SilentProgress
from tests.indexer.picture_collection import (
    CallbackStore,
    Collection,
    CountedStop,
    CountingEmbedder,
    FailingStore,
    some_settings,
)
from tests.support.catalogs import catalog_on
from tests.support.service import FakeEmbedder
from tests.support.stores import WrappedStore

REBUILD = Options(rebuild=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "PUBLISH_PATIENCE_S", 0.0)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> CountedStop:
    """Its waiting is what the clock of the retries sees."""
    stop = CountedStop()
    monkeypatch.setattr("tenacity.time", stop)
    return stop


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


def test_storage_that_goes_down_fails_the_run_without_removals(collection: Collection, impatient: None) -> None:
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    for seed in range(30):
        collection.put(f"new/{seed:02}.png", 100 + seed)
    down = FailingStore(collection.store, {})
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

        def get(self, key: str, **options: Any) -> StoredObject:
            if key == POINTER_KEY:
                self.pointer_reads += 1
                if self.pointer_reads == 2:
                    raise StorageUnavailable("down")
            return super().get(key, **options)

    with pytest.raises(StorageUnavailable):
        collection.run(store=ProbeFails(collection.store, errors))
    assert collection.indexed() == {"0.png", "1.png", "2.png", "3.png", "a/first.png"}


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
    report = collection.run(REBUILD, store=FailingStore(collection.store, {"1.png": StorageUnavailable("no answer")}))
    assert len(report.failed) == 1
    assert len(collection.indexed()) == 3


def test_what_others_publish_meanwhile_is_kept(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    before = collection.snapshot()
    template = next(iter(before.records.values()))
    collection.store.delete("0.png")
    collection.put("4.png", 4)

    def upload() -> None:
        """Another writer uploads a new picture, and one under a key that our listing missed."""
        added = tuple(
            replace(template, image_id=image_id_of(key), object_key=key, etag=f"etag of {key}", content_hash=key)
            for key in ("uploaded.png", "0.png")
        )
        vectors = np.stack([before.vectors.get([next(iter(before.records))])[0]] * 2)
        catalog_on(collection.store, collection.settings.index).publish(Changes(added, vectors), before.pointer.model)

    collection.run(store=CallbackStore(collection.store, upload))

    assert collection.indexed() == {"0.png", "1.png", "2.png", "3.png", "4.png", "uploaded.png"}


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
        catalog_on(collection.store, collection.settings.index).publish(theirs, before.pointer.model)

    collection.run(store=CallbackStore(collection.store, upload))

    assert collection.indexed() == {"good.png", "new.png"}
    assert collection.snapshot().skipped == {"worse.png": Skip("worse.png", "theirs", "x")}


def test_an_unexpected_error_ends_the_run_and_what_was_done_is_kept(collection: Collection) -> None:
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.settings = some_settings(look_ahead=4)
    errors: dict[str | None, Exception] = {"10.png": RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        collection.run(store=FailingStore(collection.store, errors))
    assert collection.indexed() == {f"{seed:02}.png" for seed in range(8)}


def test_work_for_another_model_is_not_mixed_into_the_index_when_the_run_fails(
    collection: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(12):
        collection.put(f"{seed:02}.png", seed)
    collection.run()
    token = collection.snapshot().pointer.token
    other = FakeEmbedder()
    collection.embedder = CountingEmbedder(other)
    collection.settings = some_settings(look_ahead=4)
    errors: dict[str | None, Exception] = {"10.png": RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        collection.run(REBUILD, store=FailingStore(collection.store, errors))
    assert collection.embedder.embedded == 8
    assert collection.snapshot().pointer.token == token
    assert "could not be published" not in caplog.text, "it was not even tried"


class StutteringStore(WrappedStore):
    """Refuses the first writes of the pointer."""

    def __init__(self, inner: ObjectStore, refusals: int, *, written: bool = False) -> None:
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

    def get(self, key: str, **options: Any) -> StoredObject:
        if key == POINTER_KEY and self._written and self.inner.get(key, **options):
            self._written = False
            raise StorageUnavailable("a hiccup")
        return self.inner.get(key, **options)


@pytest.mark.parametrize("options", [Options(), REBUILD], ids=["plain", "rebuild"])
def test_publishing_is_tried_again(collection: Collection, stop: CountedStop, options: Options) -> None:
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    assert collection.run(options, store=StutteringStore(collection.store, 3), stop=stop).added == 3
    assert len(collection.indexed()) == 3
    assert stop.waited_s == pytest.approx(1 + 2 + 4, abs=0.5)


def test_publishing_is_given_up_in_the_end(collection: Collection, stop: CountedStop) -> None:
    collection.put("a.png", 1)
    with pytest.raises(StorageUnavailable, match="a hiccup"):
        collection.run(store=StutteringStore(collection.store, 10**9), stop=stop)
    assert 200 < stop.waited_s <= publication.PUBLISH_PATIENCE_S


def test_a_stop_ends_the_patience(collection: Collection, stop: CountedStop) -> None:
    collection.put("a.png", 1)
    stop.requested = lambda: stop.waited_s > 2
    with pytest.raises(StorageUnavailable, match="a hiccup"):
        collection.run(store=StutteringStore(collection.store, 10**9), stop=stop)
    assert stop.waited_s < 3


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
        collection.run(REBUILD, store=FailingStore(collection.store, errors))
    assert len(collection.indexed()) == 10


def test_a_rebuild_for_another_model_does_not_drop_what_the_storage_refuses(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    other = FakeEmbedder()
    collection.embedder = CountingEmbedder(other)
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("no") for n in range(3)}
    with pytest.raises(ShrinkRefused, match="3 of the 4"):
        collection.run(REBUILD, store=FailingStore(collection.store, errors))
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


def test_a_first_run_that_could_read_nothing_publishes_nothing(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    errors: dict[str | None, Exception] = {f"{n}.png": StorageUnavailable("no answer") for n in range(5)}
    with pytest.raises(AppError, match=r"None of 5 pictures .*0\.png: no answer"):
        collection.run(store=FailingStore(collection.store, errors))
    assert catalog_on(collection.store, collection.settings.index).load() is None


def test_a_first_run_interrupted_before_anything_was_done_says_so(collection: Collection) -> None:
    collection.put("a.png", 1)
    with pytest.raises(AppError, match="first run was interrupted"):
        collection.run(stop=lambda: True)
    assert catalog_on(collection.store, collection.settings.index).load() is None


# Folding


class Phases(SilentProgress):
    def __init__(self) -> None:
        self.names: list[str] = []

    def phase(self, name: str, total: int | None = None) -> None:
        self.names.append(name)


@pytest.fixture
def crowded(collection: Collection) -> Collection:
    """As many journals as may be left lying, and a picture to come."""
    collection.settings = some_settings(journal_max_rows=10, journal_max_files=1)
    for number in range(2):
        collection.put(f"{number}.png", number)
        collection.run()
    assert len(collection.snapshot().pointer.journals) == 1
    collection.put("2.png", 2)
    return collection


KEYS = {"0.png", "1.png", "2.png"}


def test_long_journals_are_folded_after_publishing(crowded: Collection) -> None:
    phases = Phases()
    report = crowded.run(progress=phases)
    assert phases.names[-2:] == ["publishing", "folding"]
    pointer = crowded.snapshot().pointer
    assert (pointer.journals, pointer.generation) == ((), report.generation)
    assert crowded.indexed() == KEYS


def test_short_ones_are_not(collection: Collection) -> None:
    collection.put("0.png", 0)
    phases = Phases()
    collection.run(progress=phases)
    collection.put("1.png", 1)
    collection.run(progress=phases)
    assert "folding" not in phases.names
    assert len(collection.snapshot().pointer.journals) == 1


def test_the_picture_can_be_found_before_folding_begins(crowded: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fold = Catalog.fold
    monkeypatch.setattr(Catalog, "fold", lambda *given: seen.append(crowded.indexed()) or fold(*given))
    crowded.run()
    assert seen == [KEYS]


@pytest.mark.parametrize("error", [StorageUnavailable("no room"), MemoryError()])
def test_a_fold_that_fails_is_a_warning(
    crowded: Collection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Catalog, "fold", fail)
    assert crowded.run().added == 1
    assert [record.levelno for record in caplog.records if "fold" in record.message] == [logging.WARNING]
    assert crowded.indexed() == KEYS
    monkeypatch.undo()
    crowded.run()
    assert crowded.snapshot().pointer.journals == ()
    assert crowded.indexed() == KEYS


@pytest.fixture
def judging(collection: Collection, tmp_path: Path) -> Collection:
    """A collection whose searches say how relevant pictures are."""
    groups = {"search": SearchSettings(relevance=True), "model": ModelSettings(cache=tmp_path / "models")}
    return replace(
        collection, embedder=CountingEmbedder(FakeEmbedder()), settings=some_settings().model_copy(update=groups)
    )


def test_a_small_run_does_not_embed_the_bank(judging: Collection) -> None:
    judging.put("1.png", 1)
    judging.run()
    (record,) = judging.snapshot().records.values()
    assert record.bank_near is None


def test_every_row_says_how_near_it_is_to_the_bank(judging: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first run, of a journal, and copies of a picture; also where the run has no model to load."""
    monkeypatch.setattr(parts, "WORTH_A_BANK", 3)
    for seed in range(3):
        judging.put(f"{seed}.png", seed)
    judging.run()
    judging.put("copy.png", 1)
    judging.run()
    assert judging.loaded == 0
    judging.put("new.png", 9)
    judging.run()
    snapshot = judging.snapshot()
    bank = find_bank(judging.settings.model.cache, judging.embedder.identity.fingerprint)
    assert bank is not None
    assert len(snapshot.records) == 5
    assert snapshot.pointer.journal
    for row, record in snapshot.records.items():
        expected = bank.measure(snapshot.vectors.get([row]))[0]
        assert (record.bank_mean, record.bank_near) == pytest.approx(expected, abs=1e-4)
