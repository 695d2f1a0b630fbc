"""Generations whose vectors a server keeps: collections, aliases, readers at another state, and crashes in between."""

import pytest

from app.catalog import layout
from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.live import LiveCatalog
from app.errors import IndexCorrupt, IndexMismatch, VectorStoreUnavailable
from app.settings import IndexSettings
from app.storage.base import ObjectStore
from app.types import image_id_of, row_id
from tests.support.catalogs import MODEL, OTHER_MODEL, adding, catalog_on, keys_of, removing, vector
from tests.support.stores import InterferingStore
from tests.support.vector_servers import MemoryServer

SETTINGS = IndexSettings(journal_max_rows=3, journal_max_files=2, keep_generations=2)
ALIAS = f"image2search_{MODEL.fingerprint[:16]}"


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def catalog(store: ObjectStore, server: MemoryServer) -> Catalog:
    return catalog_on(store, SETTINGS, server=server)


def test_the_bucket_keeps_metadata_and_the_server_vectors(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    made = catalog.publish(adding("a/1.jpg", "a/b/2.jpg", "3.jpg"), MODEL)
    loaded = catalog_on(store, SETTINGS, server=server).load()
    assert keys_of(made) == keys_of(loaded) == {"a/1.jpg", "a/b/2.jpg", "3.jpg"}
    generation, collection = made.pointer.generation, made.pointer.collection
    assert collection == f"{ALIAS}_{generation.replace('-', '_')}"
    assert (made.pointer.engine, made.pointer.accuracy.shape) == ("milvus", "hnsw")
    assert server.aliases == {ALIAS: collection}
    assert [info.key for info in store.list(layout.INDEX_PREFIX)] == [
        f"_index/{generation}/image_metadata.json",
        f"_index/{generation}/image_words.bin",
        "_index/current.json",
    ]


def test_journals_hold_no_vectors_and_readers_write_nothing(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    reader = catalog_on(store, SETTINGS, server=server)
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    known = reader.load()
    newest = catalog.publish(adding("b/1.jpg"), MODEL)
    catalog.publish(removing("a/1.jpg"), MODEL)
    assert b'"vector"' not in store.get(newest.pointer.journals[0].key).data
    writes = server.writes
    assert keys_of(reader.load(known)) == keys_of(reader.load()) == {"a/2.jpg", "b/1.jpg"}
    assert server.writes == writes


def test_generations_go_on_in_one_collection_and_a_rebuild_makes_another(
    catalog: Catalog, server: MemoryServer
) -> None:
    first = catalog.publish(adding("a/1.jpg"), MODEL)
    large = catalog.publish(adding(*(f"b/{number}.jpg" for number in range(4))), MODEL)
    small = catalog.publish(adding("c/1.jpg", "c/2.jpg", "c/3.jpg"), MODEL)
    small = catalog.publish(adding("c/4.jpg"), MODEL, since=small)
    folded = catalog.fold(small)
    assert len({state.pointer.generation for state in (first, large, folded)}) == 3
    assert {state.pointer.collection for state in (first, large, folded)} == set(server.held)
    assert len(keys_of(folded)) == 9
    rebuilt = catalog.publish(adding("a/1.jpg"), MODEL, rebuild=True, since=folded)
    assert keys_of(rebuilt) == {"a/1.jpg"}
    assert rebuilt.pointer.collection != folded.pointer.collection
    assert server.aliases == {ALIAS: rebuilt.pointer.collection}
    assert len(keys_of(folded)) == 9, "the generation before was still to be read"


def test_collections_that_no_kept_generation_uses_are_dropped(catalog: Catalog, server: MemoryServer) -> None:
    server.create("image2search_somebody_elses_00000001_deadbeef", 8)
    made = [catalog.publish(adding(f"{number}.jpg"), MODEL, rebuild=True, since=None) for number in range(3)]
    kept = {state.pointer.collection for state in made[1:]}
    assert set(server.held) == kept | {"image2search_somebody_elses_00000001_deadbeef"}
    for number in range(4):
        last = catalog.publish(adding(*(f"{number}/{i}.jpg" for i in range(4))), MODEL)
    assert set(server.held) == {last.pointer.collection, "image2search_somebody_elses_00000001_deadbeef"}
    assert last.pointer.collection == made[2].pointer.collection
    assert len(keys_of(catalog.load())) == 19
    catalog.publish(adding("x.jpg"), MODEL, rebuild=True)
    after = catalog.publish(adding("y.jpg"), MODEL, rebuild=True)
    assert made[2].pointer.collection not in server.held
    assert after.pointer.collection in server.held


def test_a_search_looks_past_rows_that_its_state_does_not_list(catalog: Catalog) -> None:
    known = catalog.publish(adding("a/1.jpg", "a/2.jpg", "a/3.jpg"), MODEL)
    catalog.publish(adding(*(f"b/{number}.jpg" for number in range(20))), MODEL)
    (hits,) = known.search(vector("b/7.jpg")[None], 3)
    assert sorted(row for row, _ in hits) == sorted(known.records)
    assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    (hits,) = known.search(vector("b/7.jpg")[None], 9)
    assert len(hits) == 3
    assert known.search(vector("b/7.jpg")[None], 3, folders=["b"]) == [[]]


@pytest.mark.parametrize("fail_at", range(1, 4))
def test_a_writer_that_dies_over_the_server_leaves_the_old_state(
    store: ObjectStore, server: MemoryServer, fail_at: int
) -> None:
    catalog = catalog_on(store, SETTINGS, server=server)
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    server.writes, server.fail_at = 0, fail_at
    changes = Changes(
        added=adding("b/1.jpg").added, vectors=adding("b/1.jpg").vectors, removed=removing("a/1.jpg").removed
    )
    if fail_at < 3:
        with pytest.raises(VectorStoreUnavailable):
            catalog.publish(changes, MODEL)
        listed = {record.object_key for record in catalog.load().records.values()}
        assert listed == {"a/1.jpg", "a/2.jpg"}
        server.fail_at = 0
    catalog.publish(changes, MODEL)
    assert keys_of(catalog.load()) == {"a/2.jpg", "b/1.jpg"}


def test_a_first_run_that_dies_leaves_nothing_that_a_later_one_does_not_drop(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    server.fail_at = 2
    with pytest.raises(VectorStoreUnavailable):
        catalog.publish(adding("a/1.jpg"), MODEL)
    assert catalog.load() is None
    assert len(server.held) == 1
    made = catalog.publish(adding("a/1.jpg"), MODEL)
    assert set(server.held) == {made.pointer.collection}
    assert keys_of(catalog.load()) == {"a/1.jpg"}


def test_a_loser_writes_its_rows_where_the_winner_has_them(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    known = catalog.publish(adding("a/1.jpg"), MODEL)
    racing = InterferingStore(
        store, layout.POINTER_KEY, lambda: catalog.publish(adding("b/1.jpg"), MODEL, rebuild=True, since=known)
    )
    catalog_on(racing, SETTINGS, server=server).publish(adding("c/1.jpg"), MODEL, since=known)
    assert keys_of_listed(catalog) == {"b/1.jpg", "c/1.jpg"}


def keys_of_listed(catalog: Catalog) -> set[str]:
    """Every listed picture is found by its vector; the collection may hold more."""
    loaded = catalog.load()
    for item in loaded.records.values():
        ((hit,),) = loaded.search(vector(item.object_key, item.etag)[None], 1)
        assert hit[0] == row_id(item.image_id)
    return {item.object_key for item in loaded.records.values()}


def test_a_collection_that_is_gone_is_corrupt_and_a_rebuild_makes_a_new_one(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    server.held.clear()
    fresh = catalog_on(store, SETTINGS, server=server)
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        fresh.load()
    fresh.publish(adding("a/2.jpg"), MODEL, rebuild=True)
    assert keys_of(fresh.load()) == {"a/2.jpg"}


def test_a_server_that_is_down_is_said_so_and_the_last_state_stays(
    catalog: Catalog, store: ObjectStore, server: MemoryServer
) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    server.is_down = True
    live = LiveCatalog(catalog_on(store, SETTINGS, server=server), MODEL)
    live.refresh()
    assert live.problem == "The vector server does not answer."
    with pytest.raises(VectorStoreUnavailable):
        catalog.publish(adding("b/1.jpg"), MODEL)
    server.is_down = False
    live.refresh()
    assert keys_of(live.current) == {"a/1.jpg"}


def test_what_can_not_be_dropped_now_is_dropped_later(
    catalog: Catalog, server: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        catalog.publish(adding(f"{number}.jpg"), MODEL, rebuild=True, since=None)
    server.writes, server.fail_at = 0, 4  # create, add, serve, drop
    made = catalog.publish(adding("2.jpg"), MODEL, rebuild=True, since=None)
    assert "next generation" in caplog.text
    assert len(server.held) == 3
    assert keys_of(catalog.load()) == {"0.jpg", "1.jpg", "2.jpg"}
    catalog.publish(adding("3.jpg"), MODEL, rebuild=True, since=made)
    assert len(server.held) == 2


@pytest.mark.parametrize("first", ["faiss", "milvus"])
def test_another_engine_is_refused_with_both_named_and_a_rebuild_moves_there(
    store: ObjectStore, server: MemoryServer, first: str
) -> None:
    catalogs = {"faiss": catalog_on(store, SETTINGS), "milvus": catalog_on(store, SETTINGS, server=server)}
    before, after = catalogs.pop(first), next(iter(catalogs.values()))
    before.publish(adding("a/1.jpg"), MODEL)
    for attempt in (after.load, lambda: after.publish(adding("b.jpg"), MODEL)):
        with pytest.raises(IndexMismatch, match=rf"(?s){first}.*VECTOR_STORE={first}.*--rebuild"):
            attempt()
    after.publish(adding("b.jpg"), MODEL, rebuild=True)
    assert keys_of(after.load()) == {"b.jpg"}
    with pytest.raises(IndexMismatch):
        before.load()


def test_a_rebuild_by_another_model_has_its_own_alias(catalog: Catalog, server: MemoryServer) -> None:
    catalog.publish(adding("a/1.jpg"), MODEL)
    made = catalog.publish(adding("a/1.jpg"), OTHER_MODEL, rebuild=True)
    assert server.aliases[f"image2search_{OTHER_MODEL.fingerprint[:16]}"] == made.pointer.collection
    assert set(server.aliases) == {ALIAS, f"image2search_{OTHER_MODEL.fingerprint[:16]}"}


def test_a_picture_changed_in_place_keeps_its_row(catalog: Catalog) -> None:
    catalog.publish(adding("a/1.jpg", "a/2.jpg"), MODEL)
    both = Changes(
        added=adding("a/1.jpg", etag="2").added,
        vectors=adding("a/1.jpg", etag="2").vectors,
        removed=frozenset({image_id_of("a/1.jpg")}),
    )
    catalog.publish(both, MODEL)
    assert keys_of(catalog.load()) == {"a/1.jpg", "a/2.jpg"}
