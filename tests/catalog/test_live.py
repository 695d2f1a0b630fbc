"""What is served while the published state is damaged, foreign, gone, or swapped under searches."""

import threading
from collections.abc import Callable

import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.live import LiveCatalog
from app.errors import IndexCorrupt, IndexNotReady, StorageUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from tests.support.catalogs import MODEL, OTHER_MODEL, adding, catalog_on, keys_of, removing, vector
from tests.support.stores import WrappedStore

SETTINGS = IndexSettings(journal_max_rows=1, keep_generations=2)
FIRST = {"a/1.jpg", "a/2.jpg"}


@pytest.fixture
def catalog(store: ObjectStore) -> Catalog:
    return catalog_on(store, SETTINGS)


def live_on(store: object) -> LiveCatalog:
    live = LiveCatalog(catalog_on(store, SETTINGS), MODEL)
    live.refresh()
    return live


def test_before_the_first_publication_it_says_what_to_run(store: ObjectStore) -> None:
    live = live_on(store)
    with pytest.raises(IndexNotReady, match="image2search index"):
        _ = live.current
    assert "image2search index" in str(live.problem)


def test_it_follows_what_is_published(catalog: Catalog, store: ObjectStore) -> None:
    live = live_on(store)
    catalog.publish(adding(*FIRST), MODEL)
    live.refresh()
    assert keys_of(live.current) == FIRST
    assert live.problem is None
    catalog.publish(adding("b.jpg"), MODEL)
    live.refresh()
    assert keys_of(live.current) == FIRST | {"b.jpg"}


def truncate(store: ObjectStore, key: str) -> None:
    store.put(key, store.get(key).data[:-7])


def flip_a_byte(store: ObjectStore, key: str) -> None:
    data = bytearray(store.get(key).data)
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))


def empty(store: ObjectStore, key: str) -> None:
    store.put(key, b"")


def remove(store: ObjectStore, key: str) -> None:
    store.delete(key)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, remove])
@pytest.mark.parametrize("file", ["image_faiss_index.bin", "image_metadata.json", "journal/1.json"])
def test_a_damaged_file_leaves_the_last_good_generation_serving(
    catalog: Catalog, store: ObjectStore, file: str, damage: Callable[[ObjectStore, str], None], caplog
) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    catalog.publish(adding("b/1.jpg", "b/2.jpg"), MODEL)
    newest = catalog.publish(adding("b/3.jpg"), MODEL)
    key = f"_index/{newest.pointer.generation}/{file}"
    damage(store, key)

    live.refresh()
    assert keys_of(live.current) == FIRST
    assert key in str(live.problem)
    assert key in caplog.text
    with pytest.raises(IndexCorrupt, match=key):
        catalog.load()

    catalog.publish(adding("c/1.jpg"), MODEL, rebuild=True)
    live.refresh()
    assert keys_of(live.current) == {"c/1.jpg"}
    assert live.problem is None


@pytest.mark.parametrize(
    "pointer",
    [b"", b"{", b"[]", b"{}", b'{"format": 1}', b'{"format": 99, "generation": "x"}', b"\xff\xfe"],
)
def test_a_damaged_pointer_leaves_the_last_good_generation_serving(
    catalog: Catalog, store: ObjectStore, pointer: bytes
) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    store.put(layout.POINTER_KEY, pointer)
    live.refresh()
    assert keys_of(live.current) == FIRST
    assert layout.POINTER_KEY in str(live.problem)


def test_files_that_do_not_belong_together_are_refused(catalog: Catalog, store: ObjectStore) -> None:
    """Every checksum is right, and yet the index is of another number of pictures than the metadata."""
    made = catalog.publish(adding(*FIRST), MODEL)
    text = store.get(layout.POINTER_KEY).data.replace(b'"count": 2', b'"count": 3')
    store.put(layout.POINTER_KEY, text)
    with pytest.raises(IndexCorrupt, match="the pointer says 3"):
        catalog.load()
    other = catalog.publish(adding(*FIRST, "b.jpg"), MODEL, rebuild=True)
    mixed = store.get(layout.POINTER_KEY).data
    for ours, theirs in zip(other.pointer.files[1:], made.pointer.files[1:], strict=True):
        for name in ("key", "sha256", "size_bytes"):
            mixed = mixed.replace(str(getattr(ours, name)).encode(), str(getattr(theirs, name)).encode())
    store.put(layout.POINTER_KEY, mixed)
    with pytest.raises(IndexCorrupt, match=r"image_faiss_index\.bin"):
        catalog.load()


def test_another_models_index_is_refused_with_both_named(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding(*FIRST), OTHER_MODEL)
    live = live_on(store)
    with pytest.raises(IndexNotReady, match=rf"{OTHER_MODEL.name}.*{MODEL.name}.*--rebuild"):
        _ = live.current
    catalog.publish(adding(*FIRST), MODEL, rebuild=True)
    live.refresh()
    catalog.publish(adding("b.jpg"), OTHER_MODEL, rebuild=True)
    live.refresh()
    assert keys_of(live.current) == FIRST
    assert OTHER_MODEL.name in str(live.problem)


def test_storage_that_is_down_leaves_the_last_good_generation_serving(catalog: Catalog, store: ObjectStore) -> None:
    class Down(WrappedStore):
        down = False

        def get(self, key, **options):
            if self.down:
                raise StorageUnavailable("no route to storage")
            return self.inner.get(key, **options)

    catalog.publish(adding(*FIRST), MODEL)
    flaky = Down(store)
    live = live_on(flaky)
    flaky.down = True
    live.refresh()
    assert keys_of(live.current) == FIRST
    assert live.problem == "no route to storage"
    flaky.down = False
    live.refresh()
    assert live.problem is None


def test_an_index_that_vanishes_is_still_served(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    store.delete(layout.POINTER_KEY)
    live.refresh()
    assert keys_of(live.current) == FIRST
    assert "gone" in str(live.problem)


def test_a_problem_is_logged_once(store: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
    store.put(layout.POINTER_KEY, b"{")
    live = live_on(store)
    live.refresh()
    live.refresh()
    assert len(caplog.records) == 1


def test_searches_go_on_while_generations_are_swapped(catalog: Catalog, store: ObjectStore) -> None:
    """Each search reads one snapshot: its own vectors and its own records, also while another one is swapped in."""
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    done, searches, failures = threading.Event(), [0], []

    def search() -> None:
        while not done.is_set():
            snapshot = live.current
            hits = snapshot.vectors.search(vector("a/1.jpg")[None], 50)[0]
            if len(hits) != snapshot.pointer.count or any(row not in snapshot.records for row, _ in hits):
                failures.append(hits)
            searches[0] += 1

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(15):
        before = searches[0]
        catalog.publish(adding(*(f"b/{number}-{i}.jpg" for i in range(1 + number % 2))), MODEL)
        live.refresh()
        while searches[0] == before:
            threading.Event().wait(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert live.current.pointer.count == 2 + 15 + 7


class CountingStore(WrappedStore):
    reads = 0

    def get(self, key, **options):
        self.reads += 1
        return self.inner.get(key, **options)

    def stream(self, key, **options):
        self.reads += 1
        return self.inner.stream(key, **options)


def test_what_can_not_be_served_is_not_downloaded_at_every_poll(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalog.publish(adding(*FIRST), OTHER_MODEL)
    counting = CountingStore(store)
    live = live_on(counting)
    assert counting.reads == 1, "another model's files were read"
    live.refresh()
    assert counting.reads == 2

    made = catalog.publish(adding(*FIRST), MODEL, rebuild=True)
    damaged = made.pointer.files[0].key
    whole = store.get(damaged).data
    store.put(damaged, whole[:-1])
    live.refresh()
    before = counting.reads
    live.refresh()
    assert counting.reads == before + 1
    assert damaged in str(live.problem)

    store.put(damaged, whole)
    monkeypatch.setattr("app.catalog.live.time.monotonic", lambda: 1e12)
    live.refresh()
    assert keys_of(live.current) == FIRST


def emptied(store: ObjectStore) -> None:
    """As when a disk is unmounted and its mount point stays."""
    for key in [info.key for info in store.list()]:
        store.delete(key)


def test_an_empty_index_made_from_nothing_is_not_served_where_pictures_were(
    catalog: Catalog, store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    emptied(store)
    live.refresh()
    assert "gone from the bucket" in str(live.problem)
    catalog.publish(Changes(), MODEL)
    for _ in range(3):
        live.refresh()
        assert keys_of(live.current) == FIRST
    assert "disk of STORAGE_URL is mounted" in str(live.problem)
    assert caplog.text.count("made from nothing") == 1
    assert keys_of(live_on(store).current) == set(), "a restart serves it"


def test_pictures_that_were_removed_are_not_served_on(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    catalog.publish(removing(*FIRST), MODEL)
    live.refresh()
    assert keys_of(live.current) == set()
    catalog.publish(adding(*FIRST), MODEL)
    live.refresh()
    catalog.publish(Changes(), MODEL, rebuild=True)
    for _ in range(4):
        catalog.publish(Changes(), MODEL, rebuild=True)
    live.refresh()
    assert keys_of(live.current) == set()
    assert live.problem is None


def test_an_index_that_was_made_anew_over_pictures_is_served(catalog: Catalog, store: ObjectStore) -> None:
    catalog.publish(adding(*FIRST), MODEL)
    live = live_on(store)
    emptied(store)
    catalog.publish(adding("b.jpg"), MODEL)
    live.refresh()
    assert keys_of(live.current) == {"b.jpg"}
