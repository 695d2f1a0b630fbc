"""The words of a generation: written, verified, followed through journals, and made anew where there are none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.live import LiveCatalog
from app.catalog.pointer import FileEntry, Pointer, read_pointer
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.errors import IndexCorrupt
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.words.build import write_words
from tests.support.catalogs import MODEL, adding, catalog_on, removing
from tests.support.stores import store_at
from tests.support.vector_servers import MemoryServer

SETTINGS = IndexSettings(journal_max_rows=3, journal_max_files=2, keep_generations=2)


@pytest.fixture(params=["bucket", "server"])
def make_catalog(request: pytest.FixtureRequest, store: ObjectStore) -> Callable[[], Catalog]:
    """Each call makes another writer or replica over the same bucket, and over the same vector server where one is."""
    server = MemoryServer() if request.param == "server" else None
    return lambda: catalog_on(store, SETTINGS, server=server)


def captioned(key: str, caption: str, *tags: str, etag: str = "1") -> Changes:
    changes = adding(key, etag=etag)
    return replace(changes, added=(replace(changes.added[0], caption=caption, tags=tags),))


def found(
    state: Snapshot | None, text: str, *, scope: tuple[str, ...] = ("",), folders: tuple[str, ...] = ()
) -> list[str]:
    """The keys of the pictures that a text finds, best first."""
    assert state is not None
    view = View(state, scope)
    hits = view.search_words(text, 10, folders=folders).hits
    return [record.object_key for record in view.records_of([row for row, _ in hits])]


def replicas(make_catalog: Callable[[], Catalog], known: Snapshot) -> list[Snapshot]:
    """What one replica loads that follows from `known`, and one that has just started."""
    states = [make_catalog().load(known), make_catalog().load()]
    return [state for state in states if state is not None]


def test_a_generation_brings_its_words_and_every_replica_finds_them(make_catalog: Callable[[], Catalog]) -> None:
    writer = make_catalog()
    made = writer.publish(adding("trip/IMG_2041.jpg", "trip/beach_2.jpg", "home/garden.jpg", "home/cat.jpg"), MODEL)
    assert made.pointer.words is not None
    for state in (made, *replicas(make_catalog, made)):
        assert found(state, "img 2041") == ["trip/IMG_2041.jpg"]
        assert sorted(found(state, "trip")) == ["trip/IMG_2041.jpg", "trip/beach_2.jpg"]
        assert found(state, "gardens", folders=("home",)) == ["home/garden.jpg"]
        assert found(state, "garden", folders=("trip",)) == []


def test_journals_change_the_words_on_every_replica(make_catalog: Callable[[], Catalog]) -> None:
    """Words of people, a replaced picture, a removed one; then the journals are folded, and then all is rebuilt."""
    writer = make_catalog()
    first = writer.publish(adding("a/cat.jpg", "a/dog.jpg", "b/x.jpg", "b/y.jpg"), MODEL)
    assert found(first, "sunset") == []
    writer.publish(captioned("b/x.jpg", "a sunset over the sea", "evening", etag="2"), MODEL)
    writer.publish(captioned("c/new_dog.jpg", "Zwei Hunde"), MODEL)
    last = writer.publish(removing("a/dog.jpg"), MODEL)
    assert last.pointer.generation == first.pointer.generation

    def check(state: Snapshot) -> None:
        assert found(state, "sunsets") == found(state, "evening") == ["b/x.jpg"]
        assert found(state, "Hund") == found(state, "dog") == ["c/new_dog.jpg"]
        assert found(state, "new dog", folders=("a",)) == []
        assert found(state, "x") == ["b/x.jpg"]

    for state in (last, *replicas(make_catalog, first)):
        check(state)
    assert sorted(found(first, "dog cat")) == ["a/cat.jpg", "a/dog.jpg"], "the state before was still to be searched"
    folded = writer.fold(last)
    assert folded.pointer.journals == ()
    for state in (folded, *replicas(make_catalog, last)):
        check(state)
    rebuilt = writer.publish(adding("z/zebra.jpg"), MODEL, rebuild=True, since=folded)
    for state in (rebuilt, *replicas(make_catalog, folded)):
        assert found(state, "zebra") == ["z/zebra.jpg"]
        assert found(state, "sunset") == found(state, "dog") == []


def test_a_caller_finds_only_words_of_folders_that_it_may_see(make_catalog: Callable[[], Catalog]) -> None:
    writer = make_catalog()
    writer.publish(adding("ann/dog.jpg", "ann/x/dog_2.jpg", "bob/dog.jpg", "bob/cat.jpg"), MODEL)
    state = writer.publish(adding("bob/dog_3.jpg", "ann/dog_4.jpg"), MODEL)
    seen = {"ann/dog.jpg", "ann/x/dog_2.jpg", "ann/dog_4.jpg"}
    assert set(found(state, "dog", scope=("ann",))) == seen
    assert set(found(state, "bob dog", scope=("ann",), folders=("", "bob"))) == seen
    assert found(state, "dog", scope=("ann",), folders=("ann/x", "bob")) == ["ann/x/dog_2.jpg"]
    assert found(state, "dog", scope=("ann",), folders=("bob",)) == found(state, "dog", scope=()) == []


def flip_a_bit(data: bytes) -> bytes:
    return bytes([*data[: len(data) // 2], data[len(data) // 2] ^ 1, *data[len(data) // 2 + 1 :]])


@pytest.mark.parametrize("damage", [lambda data: data[:-7], flip_a_bit, None], ids=["torn", "flipped", "missing"])
def test_damaged_words_leave_the_last_good_generation_serving(
    make_catalog: Callable[[], Catalog], store: ObjectStore, damage: Callable[[bytes], bytes] | None
) -> None:
    writer = make_catalog()
    writer.publish(adding("a/dog.jpg"), MODEL)
    live = LiveCatalog(make_catalog(), MODEL)
    live.refresh()
    made = writer.publish(adding("b/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"), MODEL)
    key = layout.words_key(made.pointer.generation)
    good = store.get(key).data
    if damage:
        store.put(key, damage(good))
    else:
        store.delete(key)
    with pytest.raises(IndexCorrupt, match=rf"{layout.WORDS_NAME} .*--rebuild"):
        make_catalog().load()
    live.refresh()
    assert key in str(live.problem)
    assert found(live.current, "dog") == ["a/dog.jpg"]


def without_words(pointer: bytes) -> bytes:
    """The pointer as an older version writes it."""
    fields = json.loads(pointer)
    del fields["words"]
    return json.dumps(fields).encode()


def test_generations_of_older_versions_are_searched_and_the_next_one_has_its_words(
    make_catalog: Callable[[], Catalog], store: ObjectStore
) -> None:
    writer = make_catalog()
    writer.publish(adding("a/dog.jpg", "a/cat.jpg"), MODEL)
    store.put(layout.POINTER_KEY, without_words(store.get(layout.POINTER_KEY).data))
    old = make_catalog().load()
    assert old is not None
    assert old.pointer.words is None
    assert found(old, "dog") == ["a/dog.jpg"]
    changed = writer.publish(captioned("b/x.jpg", "a dog"), MODEL)
    assert changed.pointer.words is None
    for state in (changed, *replicas(make_catalog, old)):
        assert set(found(state, "dog")) == {"a/dog.jpg", "b/x.jpg"}
    newer = writer.publish(adding(*(f"c/{number}.jpg" for number in range(4))), MODEL)
    assert newer.pointer.words is not None
    assert set(found(make_catalog().load(), "dog")) == {"a/dog.jpg", "b/x.jpg"}


def publish_words(store: ObjectStore, pointer: Pointer, data: bytes) -> None:
    """Replace the words of the published generation, checksum and all."""
    key = layout.words_key(pointer.generation)
    store.put(key, data)
    store.put(layout.POINTER_KEY, replace(pointer, words=FileEntry.of(key, data)).to_json())


def test_words_of_another_version_are_passed_over(make_catalog: Callable[[], Catalog], store: ObjectStore) -> None:
    made = make_catalog().publish(adding("a/dog.jpg"), MODEL)
    data = store.get(layout.words_key(made.pointer.generation)).data
    for other in (data.replace(b'"format":"1"', b'"format":"9"'), b"", b"no words at all", data[:100]):
        publish_words(store, made.pointer, other)
        assert found(make_catalog().load(), "dog") == ["a/dog.jpg"]


def test_words_of_other_pictures_are_refused(
    make_catalog: Callable[[], Catalog], store: ObjectStore, tmp_path: Path
) -> None:
    made = make_catalog().publish(adding("a/dog.jpg"), MODEL)
    write_words(tmp_path / "words", [])
    publish_words(store, made.pointer, (tmp_path / "words").read_bytes())
    with pytest.raises(IndexCorrupt, match=r"0 pictures where image_metadata\.json lists 1"):
        make_catalog().load()


def test_the_pointer_names_the_words_with_their_checksum(storage_url: str) -> None:
    store = store_at(storage_url)
    made = catalog_on(store, SETTINGS).publish(adding("a/dog.jpg"), MODEL)
    stored, _ = read_pointer(store) or pytest.fail("nothing is published")
    data = store.get(layout.words_key(made.pointer.generation)).data
    assert stored.words == FileEntry.of(layout.words_key(made.pointer.generation), data)
    assert Pointer.from_json(without_words(stored.to_json())) == replace(stored, words=None)
