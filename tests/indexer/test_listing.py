"""What a run reads for its plan, what it leaves alone, and folders that can't be read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import ShrinkRefused
from app.storage.base import EVERYTHING, ObjectInfo, Selection, Unlisted
from app.storage.local import LocalStore
from indexer.plan import Options
from tests.indexer.picture_collection import Collection, CountingEmbedder, some_settings
from tests.storage.folders import without_rights
from tests.support.service import FakeEmbedder
from tests.support.stores import WrappedStore

REBUILD = Options(rebuild=True)


def test_only_pictures_within_the_limit_are_read_for_an_etag(collection: Collection) -> None:
    collection.settings = some_settings(max_bytes=2000)
    collection.put("a.png", 1)
    for key in ("film.mp4", "large.png", "notes.txt"):
        collection.store.put(key, b"x" * 5000)
    asked: dict[str, bool] = {}

    class Asking(WrappedStore):
        def list(self, prefix: str = "", **options: Any) -> Iterator[ObjectInfo]:
            for info in self.inner.list(prefix, **options):
                if not prefix:
                    asked[info.key] = options["selection"].needs_etag(info.key, info.size_bytes)
                yield info

    report = collection.run(store=Asking(collection.store))
    assert asked == {"a.png": True, "film.mp4": False, "large.png": False, "notes.txt": False}
    assert [problem.key for problem in report.skipped] == ["large.png"]


def test_an_unchanged_picture_stays_when_the_limit_falls_below_its_size(collection: Collection) -> None:
    for seed in range(3):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.settings = some_settings(max_bytes=10)
    report = collection.run()
    assert (report.unchanged, report.removed) == (3, 0)


def test_what_is_excluded_is_not_indexed(collection: Collection) -> None:
    for key in ("a.png", "demo/_thumbnails/1.png", "x/@eaDir/a.png/t.png", "#recycle/b.png", "drafts/c.png"):
        collection.put(key, 1)
    assert collection.run().seen == 2
    assert collection.indexed() == {"a.png", "drafts/c.png"}
    storage = collection.settings.storage.model_copy(update={"exclude": "drafts"})
    collection.settings = collection.settings.model_copy(update={"storage": storage})
    collection.run()
    assert collection.indexed() == {"a.png", "x/@eaDir/a.png/t.png", "#recycle/b.png"}


class ClosedStore(WrappedStore):
    """Can't read the folder `closed/`, which it has, and can't name another object."""

    def list(self, prefix: str = "", *, selection: Selection = EVERYTHING, **options: Any) -> Iterator[ObjectInfo]:
        for info in self.inner.list(prefix, selection=selection, **options):
            if not info.key.startswith("closed/"):
                yield info
        if not prefix:
            assert selection.report is not None
            selection.report(Unlisted("closed/", "Permission denied"))
            selection.report(Unlisted("a//b.png", "It has an empty part."))
            selection.report(Unlisted("a//b.txt", "It has an empty part."))


@pytest.fixture
def closed(collection: Collection) -> Collection:
    """Two of the indexed pictures lie in a folder that can't be read from now on."""
    for seed, key in enumerate(["a.png", "gone.png", "closed/1.png", "closed/er/2.png", "closed_too.png"]):
        collection.put(key, seed)
    collection.store.put("closed/broken.png", b"broken")
    collection.run()
    collection.store.delete("gone.png")
    collection.put("new.png", 9)
    return collection


@pytest.mark.parametrize("options", [Options(), REBUILD, Options(allow_shrink=True)])
def test_what_lies_in_a_folder_that_can_not_be_read_keeps_its_rows(closed: Collection, options: Options) -> None:
    before = closed.vector("closed/1.png")
    report = closed.run(options, store=ClosedStore(closed.store))
    assert closed.indexed() == {"a.png", "closed/1.png", "closed/er/2.png", "closed_too.png", "new.png"}
    np.testing.assert_array_equal(closed.vector("closed/1.png"), before)
    assert [(each.key, each.reason) for each in report.failed] == [("closed/", "Permission denied")]
    assert [each.key for each in report.skipped] == ["a//b.png"]
    assert (report.added, report.removed) == (1, 1)
    counted = report.added + report.changed + report.unchanged + len(report.skipped) + len(report.failed)
    assert report.seen == counted + report.vanished + report.left
    if options != REBUILD:
        assert set(closed.snapshot().skipped) == {"closed/broken.png"}
    again = closed.run()
    assert (again.embedded, again.removed, again.failed) == (0, 0, ())


def test_rows_of_another_model_can_not_be_kept_for_a_folder_that_can_not_be_read(closed: Collection) -> None:
    closed.embedder = CountingEmbedder(FakeEmbedder())
    closed.settings = closed.settings.model_copy(
        update={"index": closed.settings.index.model_copy(update={"max_shrink": 0.5})}
    )
    with pytest.raises(ShrinkRefused, match="3 of the 5"):
        closed.run(REBUILD, store=ClosedStore(closed.store))


def test_a_folder_without_rights_does_not_stop_the_run(embedder: CountingEmbedder) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        collection = Collection(LocalStore(Path(folder)), embedder)
        for seed, key in enumerate(["a.png", "b/b.png", "c/c.png"]):
            collection.put(key, seed)
        collection.run()
        collection.put("new.png", 9)
        for path in Path(folder).rglob("*"):
            path.chmod(0o777)
        with without_rights(Path(folder, "b")):
            report = collection.run()
        assert [each.key for each in report.failed] == ["b/"]
        assert "rights" in report.failed[0].reason
        assert (report.added, report.removed) == (1, 0)
        assert collection.indexed() == {"a.png", "b/b.png", "c/c.png", "new.png"}
