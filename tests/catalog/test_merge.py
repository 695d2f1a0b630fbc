"""Two writers: the changes of both are kept, and an older row never replaces a newer one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.snapshot import Drift, Snapshot, drift_of
from app.errors import IndexMismatch, StorageUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.types import PERSON, ModelIdentity, Skip, Source
from tests.support.catalogs import (
    MODEL,
    OTHER_MODEL,
    adding,
    catalog_on,
    etags_of,
    keys_of,
    record,
    removing,
    row_of,
    vector,
)
from tests.support.stores import InterferingStore, WrappedStore
from tests.support.vector_servers import MemoryServer

SETTINGS = IndexSettings(journal_max_rows=3, journal_max_files=4, keep_generations=2)
MANY = tuple(f"many/{number}.jpg" for number in range(9))
"""More rows than go into a journal."""

Start = Callable[[ObjectStore], Catalog]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture(params=["bucket", "server"])
def start(request: pytest.FixtureRequest, server: MemoryServer) -> Start:
    """Makes catalogs over a store, all with the same backend."""
    used = server if request.param == "server" else None
    return lambda store: catalog_on(store, SETTINGS, server=used)


@pytest.fixture
def catalog(start: Start, store: ObjectStore) -> Catalog:
    return start(store)


class CrowdedStore(WrappedStore):
    """Before each write of the pointer another writer acts, until all have."""

    def __init__(self, inner: ObjectStore, acts: list[Callable[[], object]]) -> None:
        super().__init__(inner)
        self.acts = acts

    def put(self, key, body, **options):
        if key == layout.POINTER_KEY and self.acts:
            self.acts.pop(0)()
        return self.inner.put(key, body, **options)


def joined(*changes: Changes) -> Changes:
    return Changes(
        added=tuple(record for each in changes for record in each.added),
        vectors=np.concatenate([each.vectors for each in changes if each.added]),
        removed=frozenset().union(*(each.removed for each in changes)),
        skipped=tuple(skip for each in changes for skip in each.skipped),
        forgotten=frozenset().union(*(each.forgotten for each in changes)),
    )


def check(catalog: Catalog, etags: dict[str, str]) -> Snapshot:
    """The published state, after checking that each picture is listed in this version and found by its vector."""
    loaded = catalog.load()
    assert loaded is not None
    assert etags_of(loaded) == etags
    for key, etag in etags.items():
        ((hit,),) = loaded.search(vector(key, etag)[None], 1)
        assert hit == (row_of(key), 1.0), key
    assert drift_of(loaded).missing == frozenset()
    return loaded


@pytest.mark.parametrize("more", [(), MANY], ids=["journal", "generation"])
@pytest.mark.parametrize(("theirs", "ours", "left"), [("3", "2", "3"), ("2", "3", "3"), ("2", "2", "2")])
def test_after_a_lost_race_the_newer_row_stays(
    catalog: Catalog, start: Start, store: ObjectStore, theirs: str, ours: str, left: str, more: tuple[str, ...]
) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    racing = InterferingStore(
        store, layout.POINTER_KEY, lambda: catalog.publish(adding("a/1.jpg", etag=theirs), MODEL, since=since)
    )
    start(racing).publish(adding("a/1.jpg", "b/1.jpg", *more, etag=ours), MODEL, since=since)
    assert racing.interfered
    check(catalog, {"a/1.jpg": left, "a/2.jpg": "1", "b/1.jpg": ours, **dict.fromkeys(more, ours)})


def test_a_race_that_is_lost_several_times(catalog: Catalog, start: Start, store: ObjectStore) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg"), MODEL)
    crowded = CrowdedStore(
        store,
        [
            lambda: catalog.publish(adding("a/1.jpg", etag="2"), MODEL),
            lambda: catalog.publish(adding("a/2.jpg", etag="4"), MODEL),
            lambda: catalog.publish(adding(*MANY), MODEL),
            lambda: catalog.publish(removing("a/3.jpg"), MODEL),
        ],
    )
    made = start(crowded).publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg", etag="3"), MODEL, since=since)
    assert crowded.acts == []
    assert made.pointer == check(catalog, {"a/1.jpg": "3", "a/2.jpg": "4", **dict.fromkeys(MANY, "1")}).pointer


def test_changes_from_an_older_state_are_merged_without_a_race(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    catalog.publish(adding("a/1.jpg", etag="3"), MODEL)
    catalog.publish(adding("a/1.jpg", "a/2.jpg", etag="2"), MODEL, since=since)
    check(catalog, {"a/1.jpg": "3", "a/2.jpg": "2"})


def test_when_nothing_is_left_the_current_state_is_returned(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg"), MODEL)
    current = catalog.publish(adding("a/1.jpg", etag="3"), MODEL)
    assert catalog.publish(adding("a/1.jpg", etag="2"), MODEL, since=since).pointer == current.pointer
    assert catalog.publish(Changes(), MODEL).pointer == current.pointer
    assert catalog.pointer() == current.pointer
    with pytest.raises(IndexMismatch):
        catalog.publish(adding("a/1.jpg", etag="2"), OTHER_MODEL, since=since)


def test_changes_that_were_planned_from_nothing_give_way_to_what_is_there(catalog: Catalog) -> None:
    catalog.publish(adding("a/1.jpg", "a/2.jpg", etag="2"), MODEL)
    changes = joined(adding("a/1.jpg", etag="1"), adding("a/2.jpg", etag="3"), adding("b/1.jpg"))
    catalog.publish(changes, MODEL, since=None)
    check(catalog, {"a/1.jpg": "2", "a/2.jpg": "3", "b/1.jpg": "1"})


def test_without_a_state_changes_are_planned_from_the_current_one(catalog: Catalog) -> None:
    catalog.publish(adding("a/1.jpg", etag="3"), MODEL)
    catalog.publish(adding("a/1.jpg", etag="2"), MODEL)
    check(catalog, {"a/1.jpg": "2"})


def test_of_the_same_object_the_record_of_others_stays(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg"), MODEL)
    captioned = replace(since.records[row_of("a/1.jpg")], caption="a boat")
    catalog.publish(Changes(added=(captioned,), vectors=vector("a/1.jpg")[None]), MODEL)
    catalog.publish(adding("a/1.jpg"), MODEL, since=since)
    assert check(catalog, {"a/1.jpg": "1"}).records[row_of("a/1.jpg")].caption == "a boat"


WORDS = {"caption": "my boat", "caption_by": PERSON, "tags": ("boat",), "source": Source("https://x.example/1")}


def patched(since: Snapshot, key: str, **words: Any) -> Changes:
    """What a person says of a picture, as it is in this state."""
    old = since.records[row_of(key)]
    return Changes(added=(replace(old, **words),), vectors=vector(key, old.etag)[None])


def words_of(snapshot: Snapshot, key: str) -> dict[str, Any]:
    return {name: getattr(snapshot.records[row_of(key)], name) for name in WORDS}


@pytest.mark.parametrize("race", [False, True])
@pytest.mark.parametrize(
    ("rebuild", "model"),
    [(False, MODEL), (True, MODEL), (True, OTHER_MODEL)],
    ids=["run", "rebuild", "rebuild by another model"],
)
def test_what_people_say_during_a_run_is_kept(
    catalog: Catalog, start: Start, store: ObjectStore, race: bool, rebuild: bool, model: ModelIdentity
) -> None:
    """The run replaces one picture, and has read another one again without finding a change in its file."""
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg"), MODEL)

    def person() -> None:
        catalog.publish(joined(patched(since, "a/1.jpg", **WORDS), patched(since, "a/2.jpg", **WORDS)), MODEL)

    detailed = tuple(replace(record, perceptual_hash="f0" * 8) for record in adding("a/2.jpg", "a/3.jpg").added)
    ours = joined(adding("a/1.jpg", etag="2"), replace(adding("a/2.jpg", "a/3.jpg"), added=detailed))
    if race:
        start(InterferingStore(store, layout.POINTER_KEY, person)).publish(ours, model, since=since, rebuild=rebuild)
    else:
        person()
        catalog.publish(ours, model, since=since, rebuild=rebuild)
    loaded = check(catalog, {"a/1.jpg": "2", "a/2.jpg": "1", "a/3.jpg": "1"})
    assert words_of(loaded, "a/1.jpg") == words_of(loaded, "a/2.jpg") == WORDS
    assert words_of(loaded, "a/3.jpg") == {"caption": None, "caption_by": None, "tags": (), "source": None}
    assert {loaded.records[row_of(f"a/{number}.jpg")].perceptual_hash for number in (2, 3)} == {"f0" * 8}


def test_a_caption_that_its_person_deleted_does_not_come_back(catalog: Catalog) -> None:
    plain = catalog.publish(adding("a/1.jpg"), MODEL)
    since = catalog.publish(patched(plain, "a/1.jpg", **WORDS), MODEL)
    newer = replace(adding("a/1.jpg", etag="2"), added=(replace(record("a/1.jpg", "2"), **WORDS),))
    catalog.publish(patched(since, "a/1.jpg", caption=None, caption_by=None), MODEL)
    catalog.publish(newer, MODEL, since=since)
    assert words_of(check(catalog, {"a/1.jpg": "2"}), "a/1.jpg") == WORDS | {"caption": None, "caption_by": None}


def test_of_two_people_the_later_one_is_to_plan_again(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg"), MODEL)
    catalog.publish(patched(since, "a/1.jpg", **WORDS), MODEL)
    catalog.publish(patched(since, "a/1.jpg", tags=("ship",)), MODEL, since=since)
    assert words_of(check(catalog, {"a/1.jpg": "1"}), "a/1.jpg") == WORDS


def test_a_rebuild_by_another_model_does_not_bring_back_what_was_removed_meanwhile(catalog: Catalog) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    catalog.publish(removing("a/1.jpg"), MODEL)
    ours = adding("a/1.jpg", "a/2.jpg", "a/new.jpg")
    catalog.publish(ours, OTHER_MODEL, since=since, rebuild=True)
    check(catalog, {"a/2.jpg": "1", "a/new.jpg": "1"})


@pytest.mark.parametrize("race", [False, True])
def test_removals_skips_and_forgotten_skips_give_way_to_others(
    catalog: Catalog, start: Start, store: ObjectStore, race: bool
) -> None:
    """Of each kind one that others have left alone and one that they have not."""
    first = Changes(skipped=(Skip("x.jpg", "1", "torn"), Skip("y.jpg", "1", "torn"), Skip("z.jpg", "1", "torn")))
    since = catalog.publish(joined(adding("a/1.jpg", "a/2.jpg", "a/3.jpg"), first), MODEL)
    theirs = joined(
        adding("a/1.jpg", "n.jpg", etag="2"), removing("a/3.jpg"), Changes(skipped=(Skip("x.jpg", "2", "theirs"),))
    )
    ours = Changes(
        removed=removing("a/1.jpg", "a/2.jpg").removed,
        skipped=(Skip("x.jpg", "2", "ours"), Skip("n.jpg", "1", "ours"), Skip("y.jpg", "2", "ours")),
        forgotten=frozenset({"x.jpg", "z.jpg"}),
    )
    if race:
        racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(theirs, MODEL))
        start(racing).publish(ours, MODEL, since=since)
    else:
        catalog.publish(theirs, MODEL)
        catalog.publish(ours, MODEL, since=since)
    loaded = catalog.load()
    assert etags_of(loaded) == {"a/1.jpg": "2", "n.jpg": "2"}
    assert {key: skip.reason for key, skip in loaded.skipped.items()} == {"x.jpg": "theirs", "y.jpg": "ours"}


def test_what_others_removed_is_not_brought_back(catalog: Catalog, start: Start, store: ObjectStore) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(removing("a/1.jpg"), MODEL))
    start(racing).publish(adding("a/1.jpg", "a/2.jpg", etag="2"), MODEL, since=since)
    loaded = check(catalog, {"a/2.jpg": "2"})
    assert drift_of(loaded) == Drift()


@pytest.mark.parametrize("race", [False, True])
def test_a_rebuild_follows_the_same_policy(catalog: Catalog, start: Start, store: ObjectStore, race: bool) -> None:
    names = ("older.jpg", "newer.jpg", "same.jpg", "removed.jpg", "dropped.jpg", "unread.jpg")
    skips = (Skip("torn.jpg", "1", "torn"), Skip("gone.jpg", "1", "torn"))
    since = catalog.publish(joined(adding(*names), Changes(skipped=skips)), MODEL)
    theirs = joined(
        adding("older.jpg", etag="4"),
        adding("newer.jpg", "unread.jpg", "uploaded.jpg", etag="2"),
        removing("removed.jpg"),
        Changes(skipped=(Skip("broken.jpg", "1", "theirs"), Skip("same.jpg", "2", "theirs"))),
    )
    ours = joined(
        adding("older.jpg", "newer.jpg", "removed.jpg", etag="3"),
        adding("same.jpg"),
        Changes(skipped=(skips[0], Skip("unread.jpg", "1", "ours"))),
    )
    if race:
        racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(theirs, MODEL))
        start(racing).publish(ours, MODEL, since=since, rebuild=True)
    else:
        catalog.publish(theirs, MODEL)
        catalog.publish(ours, MODEL, since=since, rebuild=True)
    loaded = check(
        catalog, {"older.jpg": "4", "newer.jpg": "3", "same.jpg": "1", "unread.jpg": "2", "uploaded.jpg": "2"}
    )
    assert {key: skip.reason for key, skip in loaded.skipped.items()} == {"torn.jpg": "torn", "broken.jpg": "theirs"}


def test_an_ordinary_publication_over_a_rebuild_of_others(catalog: Catalog, start: Start, store: ObjectStore) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg"), MODEL)
    racing = InterferingStore(
        store,
        layout.POINTER_KEY,
        lambda: catalog.publish(adding("a/1.jpg", "a/2.jpg", etag="3"), MODEL, since=since, rebuild=True),
    )
    ours = joined(adding("a/1.jpg", "a/3.jpg", etag="2"), adding("a/2.jpg", etag="4"), adding("b/1.jpg"))
    start(racing).publish(ours, MODEL, since=since)
    check(catalog, {"a/1.jpg": "3", "a/2.jpg": "4", "b/1.jpg": "1"})


def test_a_rebuild_replaces_what_it_was_planned_from(catalog: Catalog, start: Start, store: ObjectStore) -> None:
    """By default that is the state when it begins to publish; what comes during the race is kept."""
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    racing = InterferingStore(store, layout.POINTER_KEY, lambda: catalog.publish(adding("b/1.jpg"), MODEL))
    start(racing).publish(adding("a/1.jpg"), MODEL, rebuild=True)
    check(catalog, {"a/1.jpg": "1", "b/1.jpg": "1"})


def test_a_rebuild_by_another_model_keeps_only_what_that_model_made(
    catalog: Catalog, start: Start, store: ObjectStore
) -> None:
    since = catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    crowded = CrowdedStore(
        store,
        [
            lambda: catalog.publish(adding("b/1.jpg"), MODEL),
            lambda: catalog.publish(adding("a/2.jpg"), OTHER_MODEL, rebuild=True, since=since),
        ],
    )
    start(crowded).publish(adding("a/1.jpg"), OTHER_MODEL, rebuild=True, since=since)
    assert crowded.acts == []
    check(catalog, {"a/1.jpg": "1", "a/2.jpg": "1"})


# A vector server has one state of a collection: a loser writes into it before it knows that it lost.


@pytest.fixture
def served(store: ObjectStore, server: MemoryServer) -> Catalog:
    return catalog_on(store, SETTINGS, server=server)


def race_for(
    served: Catalog, server: MemoryServer, theirs: Changes, ours: Changes, since: Snapshot, loser: Catalog | None = None
) -> Snapshot:
    """We have read the state and write to the collection after they have published, so ours is the last vector."""
    server.interfere = lambda: served.publish(theirs, MODEL, since=since)
    return (loser or served).publish(ours, MODEL, since=since)


@pytest.mark.parametrize("more", [(), MANY], ids=["journal", "generation"])
def test_a_loser_leaves_no_older_vector_under_a_newer_record(
    served: Catalog, server: MemoryServer, more: tuple[str, ...]
) -> None:
    since = served.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    race_for(served, server, adding("a/1.jpg", etag="3"), adding("a/1.jpg", *more, etag="2"), since)
    loaded = served.load()
    assert etags_of(loaded) == {"a/1.jpg": "3", "a/2.jpg": "1", **dict.fromkeys(more, "2")}
    assert drift_of(loaded) == Drift(missing=frozenset({row_of("a/1.jpg")}))
    served.publish(adding("a/1.jpg", etag="3"), MODEL)
    keys_of(served.load())


def test_a_loser_that_read_the_same_object_leaves_its_vector(served: Catalog, server: MemoryServer) -> None:
    since = served.publish(adding("a/1.jpg"), MODEL)
    race_for(served, server, adding("a/1.jpg", etag="2"), adding("a/1.jpg", "b/1.jpg", etag="2"), since)
    check(served, {"a/1.jpg": "2", "b/1.jpg": "2"})


def test_a_loser_takes_back_the_row_of_a_picture_that_others_removed(served: Catalog, server: MemoryServer) -> None:
    since = served.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    race_for(served, server, removing("a/1.jpg"), adding("a/1.jpg", etag="2"), since)
    assert drift_of(check(served, {"a/2.jpg": "1"})) == Drift()


def test_a_loser_whose_storage_failed_in_between_takes_its_vector_back_when_it_tries_again(
    served: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    class DownAfterTheRace(WrappedStore):
        is_lost = False

        def put(self, key, body, **options):
            self.is_lost |= key == layout.POINTER_KEY
            return self.inner.put(key, body, **options)

        def get(self, key, **options):
            if self.is_lost:
                raise StorageUnavailable("no route to storage")
            return self.inner.get(key, **options)

    since = served.publish(adding("a/1.jpg"), MODEL)
    ours = adding("a/1.jpg", etag="2")
    down = catalog_on(DownAfterTheRace(store), SETTINGS, server=server)
    with pytest.raises(StorageUnavailable):
        race_for(served, server, adding("a/1.jpg", etag="3"), ours, since, down)
    assert drift_of(served.load()) == Drift()
    served.publish(ours, MODEL, since=since)
    loaded = served.load()
    assert etags_of(loaded) == {"a/1.jpg": "3"}
    assert drift_of(loaded) == Drift(missing=frozenset({row_of("a/1.jpg")}))


def test_a_rebuild_leaves_out_rows_of_others_that_lost_their_vectors(served: Catalog) -> None:
    since = served.publish(adding("a/1.jpg"), MODEL)
    current = served.publish(adding("b/1.jpg", "b/2.jpg"), MODEL)
    current.vectors.remove([row_of("b/1.jpg")])
    served.publish(adding("a/1.jpg"), MODEL, since=since, rebuild=True)
    check(served, {"a/1.jpg": "1", "b/2.jpg": "1"})
