"""Publishing and loading on a real store: generations, journals, races, lost replies, pruning, rebuilds."""

import multiprocessing
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from app.catalog import catalog as catalog_module
from app.catalog import layout
from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.errors import IndexCorrupt, IndexMismatch, PreconditionFailed, StorageUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import Skip, image_id_of
from tests.support.catalogs import DIMENSION, MODEL, OTHER_MODEL, adding, catalog_on, keys_of, removing
from tests.support.stores import InterferingStore, LostReplyStore, WrappedStore, store_at

SETTINGS = IndexSettings(journal_max_rows=3, journal_max_files=4, keep_generations=2)


@pytest.fixture
def catalog(store: ObjectStore) -> Catalog:
    return catalog_on(store, SETTINGS)


def stored_keys(store: ObjectStore) -> list[str]:
    return [info.key for info in store.list(layout.INDEX_PREFIX)]


def test_nothing_is_published_at_first(catalog: Catalog) -> None:
    assert catalog.load() is None


def test_the_first_publication_is_a_generation_that_another_reader_loads(catalog: Catalog, store: ObjectStore) -> None:
    made = catalog.publish(adding("a/1.jpg", "a/b/2.jpg", "3.jpg"), MODEL)
    loaded = catalog_on(store, SETTINGS).load()
    assert loaded is not None
    assert keys_of(made) == keys_of(loaded) == {"a/1.jpg", "a/b/2.jpg", "3.jpg"}
    assert loaded.pointer == made.pointer
    assert loaded.pointer.model == MODEL
    assert loaded.folders == {"a": 1, "a/b": 1, "": 1}
    generation = loaded.pointer.generation
    assert stored_keys(store) == [
        f"_index/{generation}/image_faiss_index.bin",
        f"_index/{generation}/image_metadata.json",
        f"_index/{generation}/image_words.bin",
        "_index/current.json",
    ]


def test_an_empty_index_can_be_published(catalog: Catalog) -> None:
    catalog.publish(Changes(), MODEL)
    assert keys_of(catalog.load()) == set()


def test_small_changes_are_appended_and_a_reader_reads_only_those(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"), MODEL)
    catalog.publish(adding("b/5.jpg"), MODEL)
    second = catalog.publish(removing("a/1.jpg"), MODEL)
    assert second.pointer.generation == first.pointer.generation
    assert second.pointer.journal == 2
    monkeypatch.setattr(BucketBackend, "load_generation", lambda *_: pytest.fail("read the whole generation again"))
    followed = catalog_on(store, SETTINGS).load(first)
    assert keys_of(followed) == keys_of(second) == {"a/2.jpg", "a/3.jpg", "a/4.jpg", "b/5.jpg"}
    assert keys_of(first) == {"a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"}


def test_the_known_state_is_returned_while_it_is_current(catalog: Catalog) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)
    assert catalog.load(made) is made


def test_a_change_replaces_a_picture(catalog: Catalog) -> None:
    catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"), MODEL)
    catalog.publish(adding("a/1.jpg", etag="2"), MODEL)
    loaded = catalog.load()
    assert keys_of(loaded) == {"a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg"}
    assert {r.etag for r in loaded.records.values() if r.object_key == "a/1.jpg"} == {"2"}


def test_a_large_change_makes_a_new_generation(catalog: Catalog) -> None:
    first = catalog.publish(adding("a/0.jpg"), MODEL)
    large = catalog.publish(adding(*(f"b/{i}.jpg" for i in range(4))), MODEL)
    assert layout.generation_number(large.pointer.generation) == layout.generation_number(first.pointer.generation) + 1
    assert (large.pointer.journal, large.pointer.journal_rows) == (0, 0)
    assert keys_of(catalog.load()) == {"a/0.jpg", *(f"b/{i}.jpg" for i in range(4))}


@pytest.mark.parametrize(("rows", "journals"), [(1, 12), (3, 4)], ids=["by files", "by rows"])
def test_journals_that_nobody_folds_are_folded_by_a_publisher_in_the_end(
    store: ObjectStore, rows: int, journals: int
) -> None:
    catalog = catalog_on(store, SETTINGS.model_copy(update={"journal_max_files": 3}))
    first = catalog.publish(adding("a/0.jpg"), MODEL)
    expected = {"a/0.jpg"}
    for number in range(journals):
        names = [f"{number}/{i}.jpg" for i in range(rows)]
        assert catalog.publish(adding(*names), MODEL).pointer.generation == first.pointer.generation
        expected.update(names)
    folded = catalog.publish(adding("d.jpg"), MODEL)
    assert layout.generation_number(folded.pointer.generation) == layout.generation_number(first.pointer.generation) + 1
    assert folded.pointer.journals == ()
    assert keys_of(catalog.load()) == expected | {"d.jpg"}


def test_what_could_not_be_read_is_remembered_until_it_can(catalog: Catalog) -> None:
    catalog.publish(Changes(skipped=(Skip("x.jpg", "1", "truncated"), Skip("y.jpg", "1", "no picture"))), MODEL)
    catalog.publish(Changes(skipped=(Skip("z.jpg", "1", "too large"),), forgotten=frozenset({"y.jpg"})), MODEL)
    catalog.publish(adding("x.jpg", etag="2"), MODEL)
    assert set(catalog.load().skipped) == {"z.jpg"}


def test_old_generations_are_pruned_but_the_last_n(catalog: Catalog, store: ObjectStore) -> None:
    store.put("_index/00000002-deadbeef/image_faiss_index.bin", b"left by a writer that died")
    made = [catalog.publish(adding(*(f"{n}/{i}.jpg" for i in range(4))), MODEL) for n in range(4)]
    kept = {layout.generation_of(key) for key in stored_keys(store)} - {None}
    assert kept == {snapshot.pointer.generation for snapshot in made[-SETTINGS.keep_generations :]}
    assert len(keys_of(catalog.load())) == 16


def test_another_model_is_refused_with_both_named_and_a_rebuild_replaces_it(catalog: Catalog) -> None:
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    with pytest.raises(IndexMismatch, match=rf"{MODEL.name}.*{OTHER_MODEL.name}.*--rebuild"):
        catalog.publish(adding("a/3.jpg"), OTHER_MODEL)
    assert keys_of(catalog.load()) == {"a/1.jpg", "a/2.jpg"}
    catalog.publish(adding("a/3.jpg"), OTHER_MODEL, rebuild=True)
    loaded = catalog.load()
    assert keys_of(loaded) == {"a/3.jpg"}
    assert loaded.pointer.model == OTHER_MODEL


def test_a_rebuild_keeps_what_others_added_meanwhile(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/gone.jpg"), MODEL)
    catalog.publish(adding("b/uploaded.jpg"), MODEL)
    catalog.publish(adding("a/1.jpg"), MODEL, rebuild=True, since=since)
    assert keys_of(catalog.load()) == {"a/1.jpg", "b/uploaded.jpg"}


def test_every_arithmetic_that_made_vectors_is_named_until_a_rebuild(catalog: Catalog) -> None:
    """Through journals, through a generation in their place, and with what a rebuild takes over."""
    short = replace(MODEL, precision="bf16", runtime="openvino-cpu")
    both = tuple(sorted((MODEL.arithmetic, short.arithmetic)))
    assert catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL).pointer.made_with == (MODEL.arithmetic,)
    assert catalog.publish(removing("a/2.jpg"), short).pointer.made_with == (MODEL.arithmetic,)
    since = catalog.publish(adding("a/3.jpg"), short)
    assert since.pointer.made_with == both
    assert catalog.publish(adding(*(f"b/{i}.jpg" for i in range(4))), short).pointer.made_with == both
    assert catalog.publish(adding("a/1.jpg"), short, rebuild=True, since=since).pointer.made_with == both
    last = catalog.load()
    assert catalog.publish(adding("a/1.jpg"), short, rebuild=True, since=last).pointer.made_with == (short.arithmetic,)


def test_a_rebuild_replaces_a_generation_that_is_damaged(catalog: Catalog, store: ObjectStore) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)
    store.delete(made.pointer.files[0].key)
    with pytest.raises(IndexCorrupt, match=r"image_faiss_index\.bin is missing"):
        catalog.publish(adding("a/2.jpg"), MODEL)
    catalog.publish(adding("a/2.jpg"), MODEL, rebuild=True)
    assert keys_of(catalog.load()) == {"a/2.jpg"}


@pytest.mark.parametrize("error", [PreconditionFailed("412"), StorageUnavailable("timeout")])
@pytest.mark.parametrize("first", [True, False])
def test_a_winner_whose_reply_was_lost_knows_that_it_won(store: ObjectStore, error: Exception, first: bool) -> None:
    if not first:
        catalog_on(store, SETTINGS).publish(adding("a/0.jpg"), MODEL)
    faulty = LostReplyStore(store, layout.POINTER_KEY, error)
    made = catalog_on(faulty, SETTINGS).publish(adding("a/1.jpg"), MODEL)
    assert faulty.lost == 1
    loaded = catalog_on(store, SETTINGS).load()
    assert loaded.pointer == made.pointer
    assert "a/1.jpg" in keys_of(loaded)


def test_a_publication_that_storage_refuses_fails_and_changes_nothing(store: ObjectStore) -> None:
    class Down(LostReplyStore):
        def put(self, key, body, **options):
            if key == layout.POINTER_KEY:
                raise StorageUnavailable("down")
            return self.inner.put(key, body, **options)

    catalog_on(store, SETTINGS).publish(adding("a/0.jpg"), MODEL)
    with pytest.raises(StorageUnavailable):
        catalog_on(Down(store, "", ValueError()), SETTINGS).publish(adding("a/1.jpg"), MODEL)
    assert keys_of(catalog_on(store, SETTINGS).load()) == {"a/0.jpg"}


@pytest.mark.parametrize("theirs", [("b/1.jpg",), tuple(f"b/{i}.jpg" for i in range(9))])
@pytest.mark.parametrize("ours", [("c/1.jpg",), tuple(f"c/{i}.jpg" for i in range(9))])
@pytest.mark.parametrize("first", [True, False])
def test_a_loser_applies_its_changes_on_the_winners_state(
    store: ObjectStore, theirs: tuple[str, ...], ours: tuple[str, ...], first: bool
) -> None:
    other = catalog_on(store, SETTINGS)
    if not first:
        other.publish(adding("a/0.jpg"), MODEL)
    racing = InterferingStore(store, layout.POINTER_KEY, lambda: other.publish(adding(*theirs), MODEL))
    made = catalog_on(racing, SETTINGS).publish(adding(*ours), MODEL)
    assert racing.interfered
    loaded = catalog_on(store, SETTINGS).load()
    assert keys_of(made) == keys_of(loaded) == {*theirs, *ours} | (set() if first else {"a/0.jpg"})


def test_losing_without_end_is_an_error(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "PUBLISH_ATTEMPTS", 2)
    other = catalog_on(store, SETTINGS)
    other.publish(adding("a/0.jpg"), MODEL)

    class Hopeless(LostReplyStore):
        def put(self, key, body, **options):
            if key == layout.POINTER_KEY:
                raise PreconditionFailed("412")
            return self.inner.put(key, body, **options)

    with pytest.raises(PreconditionFailed, match="2 races"):
        catalog_on(Hopeless(store, "", ValueError()), SETTINGS).publish(adding("a/1.jpg"), MODEL)
    assert keys_of(other.load()) == {"a/0.jpg"}


def test_a_reader_that_meets_a_pruned_generation_reads_the_new_one(store: ObjectStore) -> None:
    """The pointer is read, then the generation behind it is replaced and pruned before its files are."""
    writer = catalog_on(store, IndexSettings(journal_max_rows=0, keep_generations=1))
    writer.publish(adding("a/1.jpg"), MODEL)

    class SlowReader(InterferingStore):
        def stream(self, key, **options):
            if not self.interfered:
                self.interfered = True
                self._interfere()
            return self.inner.stream(key, **options)

    slow = SlowReader(store, "", lambda: writer.publish(adding("a/2.jpg"), MODEL))
    assert keys_of(catalog_on(slow, SETTINGS).load()) == {"a/1.jpg", "a/2.jpg"}


def _publish_many(url: str, name: str, start: Barrier) -> None:
    catalog = catalog_on(store_at(url), IndexSettings(journal_max_rows=2, journal_max_files=3))
    start.wait(timeout=30)
    for number in range(8):
        count = 1 + 3 * (number % 2)
        catalog.publish(adding(*(f"{name}/{number}-{i}.jpg" for i in range(count))), MODEL)


def test_two_writer_processes_racing_lose_nothing(store: ObjectStore, storage_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    writers = [context.Process(target=_publish_many, args=(storage_url, name, start)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
        assert writer.exitcode == 0
    expected = {f"{w}/{n}-{i}.jpg" for w in ("one", "two") for n in range(8) for i in range(1 + 3 * (n % 2))}
    assert keys_of(catalog_on(store, SETTINGS).load()) == expected


def test_vectors_come_back_to_the_bit_through_generation_and_journal(catalog: Catalog) -> None:
    changes = adding("a/1.jpg", "a/2.jpg")
    catalog.publish(adding("z.jpg", "y.jpg", "x.jpg", "w.jpg"), MODEL)
    catalog.publish(changes, MODEL)
    loaded: Snapshot = catalog.load()
    rows = [row for row, record in loaded.records.items() if record.folder == "a"]
    expected = {image_id_of(r.object_key): changes.vectors[i] for i, r in enumerate(changes.added)}
    for row in rows:
        np.testing.assert_array_equal(loaded.vectors.get([row])[0], expected[loaded.records[row].image_id])
    assert loaded.vectors.dimension == DIMENSION


@pytest.mark.parametrize("ours", [("c/1.jpg",), tuple(f"c/{i}.jpg" for i in range(9))], ids=["journal", "generation"])
def test_a_winner_who_is_overtaken_before_it_hears_of_its_win_loses_nothing(
    store: ObjectStore, ours: tuple[str, ...]
) -> None:
    """Our write goes through, its reply is lost, and another writer publishes on top before we read back."""
    other = catalog_on(store, SETTINGS)
    other.publish(adding("a/0.jpg"), MODEL)

    class Overtaken(LostReplyStore):
        def get(self, key, **options):
            if self.lost == 1:
                self.lost += 1
                other.publish(adding("b/1.jpg"), MODEL)
            return self.inner.get(key, **options)

    overtaken = Overtaken(store, layout.POINTER_KEY, PreconditionFailed("412"))
    catalog_on(overtaken, SETTINGS).publish(adding(*ours), MODEL)
    assert overtaken.lost == 2
    assert keys_of(catalog_on(store, SETTINGS).load()) == {"a/0.jpg", "b/1.jpg", *ours}


@pytest.mark.parametrize("ours", [("c/1.jpg",), tuple(f"c/{i}.jpg" for i in range(9))], ids=["journal", "generation"])
def test_a_write_that_lands_after_it_was_reported_lost_relies_on_files_that_are_there(
    store: ObjectStore, ours: tuple[str, ...]
) -> None:
    """A retry is told 409 while the first try is still under way; the first one lands once we have looked."""
    catalog = catalog_on(store, SETTINGS)
    catalog.publish(adding("a/0.jpg"), MODEL)

    class Late(LostReplyStore):
        held = None

        def put(self, key, body, **options):
            if key == layout.POINTER_KEY and not self.lost:
                self.lost += 1
                self.held = (key, body, options)
                raise self._error
            return self.inner.put(key, body, **options)

        def get(self, key, **options):
            stored = self.inner.get(key, **options)
            if self.held:
                held_key, body, options = self.held
                self.held = None
                self.inner.put(held_key, body, **options)
            return stored

    catalog_on(Late(store, layout.POINTER_KEY, PreconditionFailed("409")), SETTINGS).publish(adding(*ours), MODEL)
    assert keys_of(catalog_on(store, SETTINGS).load()) == {"a/0.jpg", *ours}


@pytest.mark.parametrize("pointer", [b"torn", b'{"format": 2}', b"[]", b"{}"])
def test_a_rebuild_replaces_a_pointer_that_is_damaged(catalog: Catalog, store: ObjectStore, pointer: bytes) -> None:
    made = catalog.publish(adding("a/1.jpg"), MODEL)
    store.put(layout.POINTER_KEY, pointer)
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        catalog.publish(adding("a/2.jpg"), MODEL)
    rebuilt = catalog.publish(adding("a/2.jpg"), MODEL, rebuild=True)
    assert keys_of(catalog.load()) == {"a/2.jpg"}
    assert rebuilt.pointer.generation > made.pointer.generation


def test_what_others_keep_below_the_index_prefix_is_left_alone(catalog: Catalog, store: ObjectStore) -> None:
    theirs = ["_index/backup/x", "_index/00000099-deadbeef/image_faiss_index.bin", "_index/README"]
    for key in theirs:
        store.put(key, b"theirs")
    for number in range(3):
        catalog.publish(adding(*(f"{number}/{i}.jpg" for i in range(4))), MODEL)
    assert set(theirs) <= set(stored_keys(store))


def test_removing_much_makes_a_generation_too(catalog: Catalog) -> None:
    many = [f"a/{i}.jpg" for i in range(9)]
    first = catalog.publish(adding(*many), MODEL)
    second = catalog.publish(removing(*many[:5]), MODEL)
    assert second.pointer.generation != first.pointer.generation
    assert keys_of(catalog.load()) == set(many[5:])


def test_a_rebuild_that_nothing_was_published_before_keeps_what_came_meanwhile(catalog: Catalog) -> None:
    catalog.publish(adding("b/uploaded.jpg"), MODEL)
    catalog.publish(adding("a/1.jpg"), MODEL, rebuild=True, since=None)
    assert keys_of(catalog.load()) == {"a/1.jpg", "b/uploaded.jpg"}


def test_a_rebuild_keeps_what_others_changed_and_its_own_version_of_what_it_read(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    catalog.publish(adding("a/1.jpg", "a/2.jpg", etag="2"), MODEL)
    catalog.publish(adding("a/1.jpg", etag="3"), MODEL, rebuild=True, since=since)
    loaded = catalog.load()
    keys_of(loaded)
    assert {record.object_key: record.etag for record in loaded.records.values()} == {"a/1.jpg": "3", "a/2.jpg": "2"}


def test_a_reader_does_not_build_on_a_state_that_took_another_turn(catalog: Catalog, store: ObjectStore) -> None:
    """Same generation, other journals than the reader knows: the pointer was restored from a backup, say."""
    catalog.publish(adding("a/1.jpg"), MODEL)
    backup = store.get(layout.POINTER_KEY).data
    known = catalog.publish(adding("b/lost.jpg"), MODEL)
    store.put(layout.POINTER_KEY, backup)
    catalog.publish(adding("c/1.jpg"), MODEL)
    assert keys_of(catalog.load(known)) == {"a/1.jpg", "c/1.jpg"}


def test_no_room_for_temporary_files_is_said_so(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file" / "not-a-folder"))
    for attempt in (catalog.load, lambda: catalog.publish(adding("a/2.jpg"), MODEL, rebuild=True)):
        with pytest.raises(StorageUnavailable, match="TMPDIR"):
            attempt()


def test_a_writer_that_loses_many_races_gets_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pauses grow, and each is of another length: a crowd of writers spreads out."""
    store = LocalStore(tmp_path)
    left, pauses = 40, []

    class Crowded(WrappedStore):
        def put(self, key, body, **options):
            nonlocal left
            if key == layout.POINTER_KEY and left:
                left -= 1
                raise PreconditionFailed("412")
            return self.inner.put(key, body, **options)

    monkeypatch.setattr(time, "sleep", pauses.append)
    catalog_on(Crowded(store), SETTINGS).publish(adding("a/1.jpg"), MODEL)
    assert len(set(pauses)) == 40
    assert max(pauses[:3]) < 0.01
    assert 0.1 < max(pauses) <= catalog_module.MAX_PAUSE_S
    assert keys_of(catalog_on(store, SETTINGS).load()) == {"a/1.jpg"}
