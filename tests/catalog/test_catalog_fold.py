"""Folding journals into a new generation: when it is due, and what goes on meanwhile."""

import pytest

from app.catalog import layout
from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import FOLD_ATTEMPTS, Catalog
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.errors import PreconditionFailed, StorageUnavailable
from app.settings import IndexSettings, VectorSettings
from app.storage.base import ObjectStore
from app.types import Skip
from tests.support.catalogs import MODEL, adding, catalog_on, keys_of, removing
from tests.support.stores import InterferingStore, LostReplyStore, WrappedStore

SETTINGS = IndexSettings(journal_max_rows=3, journal_max_files=2, keep_generations=2)


@pytest.fixture
def catalog(store: ObjectStore) -> Catalog:
    return catalog_on(store, SETTINGS)


def crowded(catalog: Catalog) -> Snapshot:
    """A generation with more journals than are to be left lying."""
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    catalog.publish(adding("b/1.jpg"), MODEL)
    catalog.publish(removing("a/2.jpg"), MODEL)
    return catalog.publish(Changes(skipped=(Skip("broken.jpg", "1", "torn"),)), MODEL)


EXPECTED = {"a/1.jpg", "b/1.jpg"}


@pytest.mark.parametrize(
    ("changes", "is_due"),
    [
        ([adding("b/1.jpg"), adding("b/2.jpg")], False),
        ([adding("b/1.jpg"), adding("b/2.jpg"), adding("b/3.jpg")], True),
        ([adding("b/1.jpg", "b/2.jpg", "b/3.jpg")], False),
        ([adding("b/1.jpg", "b/2.jpg", "b/3.jpg"), removing("a.jpg")], True),
    ],
    ids=["as many files as may be", "too many files", "as many rows as may be", "too many rows"],
)
def test_it_is_due_by_files_and_by_rows(catalog: Catalog, changes: list[Changes], is_due: bool) -> None:
    known = catalog.publish(adding("a.jpg"), MODEL)
    for change in changes:
        known = catalog.publish(change, MODEL)
    assert catalog.needs_folding(known.pointer) == is_due
    assert (catalog.fold(known) is known) == (not is_due)


def test_it_is_due_when_the_index_wants_another_shape(store: ObjectStore) -> None:
    known = catalog_on(store, SETTINGS, vectors=VectorSettings()).publish(adding("a.jpg"), MODEL)
    forced = catalog_on(store, SETTINGS, vectors=VectorSettings(shape="ivf_sq8"))
    assert forced.needs_folding(known.pointer)


def test_a_fold_changes_nothing_but_where_it_is_written(catalog: Catalog, store: ObjectStore) -> None:
    known = crowded(catalog)
    folded = catalog.fold(known)
    loaded = catalog_on(store, SETTINGS).load()
    assert loaded is not None
    assert keys_of(folded) == keys_of(loaded) == EXPECTED
    assert folded.pointer == loaded.pointer
    assert folded.pointer.generation != known.pointer.generation
    assert (folded.pointer.journals, folded.pointer.journal_rows, folded.pointer.journal) == ((), 0, 0)
    assert folded.pointer.model == MODEL
    assert folded.pointer.made_with == known.pointer.made_with == (MODEL.arithmetic,)
    assert set(loaded.skipped) == {"broken.jpg"}
    assert catalog.fold(folded) is folded
    assert keys_of(catalog.publish(adding("c.jpg"), MODEL)) == EXPECTED | {"c.jpg"}


def test_what_others_append_meanwhile_goes_along_and_nothing_is_written_twice(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = crowded(catalog)
    written = []
    write = BucketBackend.write_generation
    monkeypatch.setattr(BucketBackend, "write_generation", lambda *given: written.append(1) or write(*given))
    racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(adding("c.jpg"), MODEL))
    folded = catalog_on(racing, SETTINGS).fold(known)
    assert racing.interfered
    assert keys_of(folded) == keys_of(catalog_on(store, SETTINGS).load()) == EXPECTED | {"c.jpg"}
    assert (len(written), len(folded.pointer.journals), folded.pointer.journal_rows) == (1, 1, 1)


def test_another_generation_meanwhile_stands(catalog: Catalog, store: ObjectStore) -> None:
    known = crowded(catalog)
    many = [f"c/{number}.jpg" for number in range(5)]
    racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(adding(*many), MODEL))
    state = catalog_on(racing, SETTINGS).fold(known)
    assert keys_of(state) == keys_of(catalog_on(store, SETTINGS).load()) == EXPECTED | set(many)


def test_losing_without_end_is_left_to_the_next_run(
    catalog: Catalog, store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    known = crowded(catalog)

    class Hopeless(WrappedStore):
        lost = 0

        def put(self, key, body, **options):
            if key == layout.POINTER_KEY:
                self.lost += 1
                catalog.publish(adding(f"{self.lost}.jpg"), MODEL)
                raise PreconditionFailed("412")
            return self.inner.put(key, body, **options)

    hopeless = Hopeless(store)
    with caplog.at_level("INFO"):
        state = catalog_on(hopeless, SETTINGS).fold(known)
    assert hopeless.lost == FOLD_ATTEMPTS
    assert keys_of(state) == EXPECTED | {f"{number + 1}.jpg" for number in range(FOLD_ATTEMPTS)}
    assert "the next run will fold" in caplog.text


@pytest.mark.parametrize("error", [PreconditionFailed("412"), StorageUnavailable("timeout")])
def test_a_fold_whose_reply_was_lost_stands(catalog: Catalog, store: ObjectStore, error: Exception) -> None:
    known = crowded(catalog)
    faulty = LostReplyStore(store, layout.POINTER_KEY, error)
    folded = catalog_on(faulty, SETTINGS).fold(known)
    assert faulty.lost == 1
    assert catalog.load().pointer == folded.pointer
