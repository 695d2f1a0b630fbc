"""The plan of a run, for listings and snapshots of every kind; and whole runs that show what is planned."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.bucket_backend import empty_snapshot
from app.catalog.changes import Changes
from app.catalog.pointer import Pointer
from app.catalog.snapshot import Snapshot
from app.errors import (
    AppError,
    IndexCorrupt,
    IndexMismatch,
    ShrinkRefused,
    VectorStoreUnavailable,
)
from app.storage.base import ObjectInfo
from app.types import Skip, image_id_of, row_id
from indexer.plan import Options, Plan, diff_listing, may_hold_news, refuse_shrink, under_new_keys
from tests.indexer.picture_collection import (
    Collection,
    CountingEmbedder,
    FailingStore,
    png,
    some_settings,
)
from tests.support.catalogs import MODEL, adding
from tests.support.service import FakeEmbedder
from tests.support.vector_servers import MemoryCollection, MemoryServer

EMPTY = empty_snapshot(Pointer("00000001-0", "token", MODEL, 0, 0, 0.0, ()))
MAX_BYTES = 5000
REBUILD = Options(rebuild=True)

KEYS = st.sampled_from([f"{folder}{name}.jpg" for folder in ("", "a/", "a/b/") for name in "123"])
ETAGS = st.sampled_from(["1", "2"])
LISTINGS = st.dictionaries(KEYS, st.tuples(ETAGS, st.sampled_from([10, MAX_BYTES, MAX_BYTES + 1])))


def snapshot_of(indexed: dict[str, str], skipped: dict[str, str]) -> Snapshot:
    """Keys by etag; `skipped` are those that could not be read."""
    snapshot = EMPTY
    for key, etag in indexed.items():
        snapshot = snapshot.apply(adding(key, etag=etag))
    return snapshot.apply(Changes(skipped=tuple(Skip(key, etag, "broken") for key, etag in skipped.items())))


def listing_of(objects: dict[str, tuple[str, int]]) -> list[ObjectInfo]:
    return [ObjectInfo(key, etag, size, 0.0) for key, (etag, size) in sorted(objects.items())]


@given(LISTINGS, st.dictionaries(KEYS, ETAGS), st.dictionaries(KEYS, ETAGS), st.booleans(), st.booleans())
def test_every_listed_picture_is_in_exactly_one_place(
    objects: dict[str, tuple[str, int]],
    indexed: dict[str, str],
    skipped: dict[str, str],
    rebuild: bool,
    retry_skipped: bool,
) -> None:
    skipped = {key: etag for key, etag in skipped.items() if key not in indexed}
    plan = diff_listing(
        listing_of(objects),
        snapshot_of(indexed, skipped),
        max_bytes=MAX_BYTES,
        rebuild=rebuild,
        retry_skipped=retry_skipped,
    )
    assert plan.seen == len(objects)
    assert plan.seen == plan.unchanged + len(plan.to_read) + len(plan.too_large) + len(plan.still_broken)
    assert {record.object_key for record in plan.gone} == indexed.keys() - objects.keys()
    assert plan.forgotten <= skipped.keys()
    assert skipped.keys() - objects.keys() <= plan.forgotten
    assert all(info.size_bytes <= MAX_BYTES for info in plan.to_read)
    for info in plan.to_read:
        assert rebuild or indexed.get(info.key) != info.etag
        assert rebuild or retry_skipped or skipped.get(info.key) != info.etag


def check_shrink(plan: Plan, snapshot: Snapshot, max_shrink: float) -> None:
    appeared = under_new_keys(plan.to_read, snapshot)
    refuse_shrink(plan.gone, appeared, snapshot, max_shrink=max_shrink, url="file://x")


def test_without_an_index_everything_is_new() -> None:
    plan = diff_listing(listing_of({"a.jpg": ("1", 10), "b.jpg": ("2", 10)}), None, max_bytes=MAX_BYTES)
    assert [info.key for info in plan.to_read] == ["a.jpg", "b.jpg"]
    assert (plan.unchanged, plan.gone, plan.forgotten) == (0, (), frozenset())


def test_moved_pictures_are_no_loss() -> None:
    snapshot = snapshot_of({f"old/{n}.jpg": str(n) for n in range(4)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    moved = {f"new/{n}.jpg": (str(n), size) for n in range(4)}
    plan = diff_listing(listing_of(moved), snapshot, max_bytes=MAX_BYTES)
    assert len(plan.gone) == 4
    check_shrink(plan, snapshot, 0.0)
    assert not may_hold_news(plan, snapshot.records.values())

    others = {key: (etag, size + 1) for key, (etag, size) in moved.items()}
    plan = diff_listing(listing_of(others), snapshot, max_bytes=MAX_BYTES)
    assert may_hold_news(plan, snapshot.records.values())
    with pytest.raises(ShrinkRefused, match="4 of the 4 indexed pictures are gone from file://x"):
        check_shrink(plan, snapshot, 0.5)


@pytest.mark.parametrize(
    ("gone", "max_shrink", "refused"), [(5, 0.5, False), (6, 0.5, True), (1, 0.0, True), (10, 1.0, False)]
)
def test_the_limit_itself_is_allowed(gone: int, max_shrink: float, refused: bool) -> None:
    snapshot = snapshot_of({f"{n}.jpg": "1" for n in range(10)}, {})
    kept = {f"{n}.jpg": ("1", 10) for n in range(gone, 10)}
    plan = diff_listing(listing_of(kept), snapshot, max_bytes=MAX_BYTES)
    if refused:
        with pytest.raises(ShrinkRefused):
            check_shrink(plan, snapshot, max_shrink)
    else:
        check_shrink(plan, snapshot, max_shrink)


def test_an_index_without_pictures_cannot_shrink() -> None:
    check_shrink(diff_listing([], EMPTY, max_bytes=1), EMPTY, 0.0)


def test_one_copy_that_appears_makes_up_for_one_that_went() -> None:
    """Ten equal pictures become one under a new key: nine are lost."""
    snapshot = snapshot_of({f"old/{n}.jpg": "7" for n in range(10)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    plan = diff_listing(listing_of({"new.jpg": ("7", size)}), snapshot, max_bytes=MAX_BYTES)
    with pytest.raises(ShrinkRefused, match="9 of the 10"):
        check_shrink(plan, snapshot, 0.5)


def test_what_a_rebuild_reads_again_under_its_old_key_has_not_appeared() -> None:
    snapshot = snapshot_of({f"{n}.jpg": "7" for n in range(10)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    kept = {f"{n}.jpg": ("7", size) for n in range(4)}
    plan = diff_listing(listing_of(kept), snapshot, max_bytes=MAX_BYTES, rebuild=True)
    assert len(plan.to_read) == 4
    with pytest.raises(ShrinkRefused, match="6 of the 10"):
        check_shrink(plan, snapshot, 0.5)


def test_a_picture_that_was_broken_and_is_now_too_large_is_no_longer_remembered() -> None:
    """If it were remembered, a higher limit would not let it in before it changes."""
    snapshot = snapshot_of({}, {"a.jpg": "1", "b.jpg": "1"})
    listing = listing_of({"a.jpg": ("2", MAX_BYTES + 1), "b.jpg": ("1", 10)})
    assert diff_listing(listing, snapshot, max_bytes=MAX_BYTES).forgotten == {"a.jpg"}


# Whole runs


def test_broken_picture_is_named_and_retried_only_when_it_changes(collection: Collection) -> None:
    collection.put("good.png", 1)
    collection.store.put("broken.png", png(2)[:60])

    first = collection.run()
    assert [problem.key for problem in first.skipped] == ["broken.png"]
    assert first.added == 1

    reads = FailingStore(collection.store, {"broken.png": AssertionError("read again")})
    second = collection.run(store=reads)
    assert second.skipped == first.skipped

    collection.put("broken.png", 3)
    third = collection.run()
    assert (third.added, third.skipped) == (1, ())
    assert collection.indexed() == {"good.png", "broken.png"}
    assert not collection.snapshot().skipped


def test_retry_skipped_reads_again_what_did_not_change(collection: Collection) -> None:
    collection.settings = some_settings().model_copy(
        update={"image": collection.settings.image.model_copy(update={"max_pixels": 50})}
    )
    collection.put("a.png", 1)
    assert [problem.key for problem in collection.run().skipped] == ["a.png"]
    collection.settings = some_settings()
    assert len(collection.run().skipped) == 1
    assert collection.run(Options(retry_skipped=True)).added == 1
    assert not collection.snapshot().skipped


def test_too_large_object_is_skipped_unread_and_taken_when_the_limit_allows(collection: Collection) -> None:
    collection.put("small.png", 1)
    collection.store.put("large.png", png(2, (60, 60)))
    collection.settings = some_settings(max_bytes=2000)

    report = collection.run(store=FailingStore(collection.store, {"large.png": AssertionError("downloaded")}))
    assert [problem.key for problem in report.skipped] == ["large.png"]
    assert "IMAGE_MAX_BYTES=2,000" in report.skipped[0].reason

    collection.settings = some_settings()
    assert collection.run().added == 1


def test_indexed_picture_that_grows_too_large_leaves_the_index(collection: Collection) -> None:
    collection.settings = some_settings(max_bytes=2000)
    collection.put("a.png", 1)
    collection.put("b.png", 2)
    collection.run()
    collection.store.put("a.png", png(3, (60, 60)))
    report = collection.run()
    assert (report.removed, len(report.skipped)) == (1, 1)
    assert collection.indexed() == {"b.png"}


def test_a_shrunken_listing_stops_the_run_and_says_how_to_insist(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    for seed in range(6):
        collection.store.delete(f"{seed}.png")
    collection.put("new.png", 77)

    with pytest.raises(ShrinkRefused, match=r"6 of the 10 .*--allow-shrink"):
        collection.run()
    assert len(collection.indexed()) == 10
    with pytest.raises(ShrinkRefused):
        collection.run(REBUILD)

    assert collection.run(Options(allow_shrink=True)).removed == 6
    assert collection.indexed() == {"6.png", "7.png", "8.png", "9.png", "new.png"}


def test_an_empty_listing_does_not_wipe_the_index(collection: Collection) -> None:
    collection.put("only.png", 1)
    collection.run()
    collection.store.delete("only.png")
    with pytest.raises(ShrinkRefused, match="1 of the 1"):
        collection.run()
    assert collection.indexed() == {"only.png"}


def test_half_may_go_without_a_word(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    collection.store.delete("1.png")
    assert collection.run().removed == 2


def test_interrupted_while_listing_nothing_changes(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.store.delete("0.png")
    calls = itertools.count()
    report = collection.run(stop=lambda: next(calls) > 1)
    assert (report.interrupted, report.removed) == (True, 0)
    assert len(collection.indexed()) == 4


def test_another_model_is_refused_with_both_named_until_rebuild(collection: Collection) -> None:
    for seed in range(5):
        collection.put(f"{seed}.png", seed)
    collection.run()
    old = collection.embedder.identity
    other = FakeEmbedder()
    collection.embedder = CountingEmbedder(other)

    with pytest.raises(IndexMismatch) as caught:
        collection.run()
    assert collection.loaded == 0, "a fingerprint needs no model"
    for word in (old.fingerprint, other.identity.fingerprint, other.identity.name, "--rebuild"):
        assert word in str(caught.value)

    with pytest.raises(AppError, match="--rebuild"):
        collection.run(REBUILD, stop=lambda: collection.embedder.embedded >= 4)
    assert collection.snapshot().pointer.model.fingerprint == old.fingerprint

    assert collection.run(REBUILD).embedded == 5
    assert collection.snapshot().pointer.model.fingerprint == other.identity.fingerprint


def test_damaged_index_needs_a_rebuild(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.run()
    collection.store.put(collection.snapshot().pointer.files[0].key, b"torn")
    with pytest.raises(IndexCorrupt):
        collection.run()
    assert collection.run(REBUILD).added == 1
    assert collection.indexed() == {"a.png"}


def test_pictures_that_all_grow_too_large_stay_until_insisted(collection: Collection) -> None:
    for seed in range(4):
        collection.put(f"{seed}.png", seed)
    collection.run()
    collection.settings = some_settings(max_bytes=10)
    with pytest.raises(ShrinkRefused, match="4 of the 4"):
        collection.run(REBUILD)
    assert len(collection.indexed()) == 4


# Runs over a vector server in which a dead writer left a row too few or too many


SERVED_KEYS = ["a/0.png", "a/1.png", "2.png"]


@pytest.fixture
def served(collection: Collection) -> Collection:
    collection.server = MemoryServer()
    for number, key in enumerate(SERVED_KEYS):
        collection.put(key, number)
    collection.run()
    return collection


def rows_of(collection: Collection) -> MemoryCollection:
    held = collection.snapshot().vectors
    assert isinstance(held, MemoryCollection)
    return held


def row(key: str) -> int:
    return row_id(image_id_of(key))


def test_a_run_over_a_server_finds_what_it_indexed(served: Collection) -> None:
    assert served.indexed() == set(SERVED_KEYS)
    for key in SERVED_KEYS:
        ((hit,),) = served.snapshot().search(served.vector(key)[None], 1)
        assert hit[0] == row(key)


def test_what_has_lost_its_vector_is_read_again(served: Collection, caplog: pytest.LogCaptureFixture) -> None:
    lost = served.vector("a/1.png")
    rows_of(served).remove([row("a/1.png")])
    report = served.run()
    assert (report.unchanged, report.embedded, report.added, report.changed) == (3, 1, 0, 0)
    np.testing.assert_allclose(served.vector("a/1.png"), lost, atol=1e-6)  # another batch, another rounding
    assert "1 pictures have no vector" in caplog.text
    assert served.run().embedded == 0


def test_a_copy_of_what_has_lost_its_vector_is_embedded(served: Collection) -> None:
    rows_of(served).remove([row("a/1.png")])
    served.put("copy.png", 1)
    report = served.run()
    assert (report.added, report.embedded, report.reused) == (1, 1, 1)
    np.testing.assert_array_equal(served.vector("a/1.png"), served.vector("copy.png"))


def test_a_vector_that_can_be_taken_from_another_copy_is(served: Collection) -> None:
    served.put("copy.png", 1)
    served.run()
    rows_of(served).remove([row("a/1.png")])
    assert served.run().embedded == 0
    np.testing.assert_array_equal(served.vector("a/1.png"), served.vector("copy.png"))


def test_rows_that_no_picture_belongs_to_are_dropped(served: Collection) -> None:
    rows_of(served).add(np.array([7, row("new.png")]), rows_of(served).get([row("2.png")] * 2), ["", ""])
    served.put("new.png", 9)
    served.run()
    assert set(rows_of(served).ids().tolist()) == {row(key) for key in [*SERVED_KEYS, "new.png"]}


def test_a_rebuild_survives_a_lost_vector_of_what_can_not_be_read(served: Collection) -> None:
    rows_of(served).remove([row("a/1.png")])
    report = served.run(Options(rebuild=True))
    assert report.embedded == 3
    assert served.indexed() == set(SERVED_KEYS)


def test_a_server_that_is_down_fails_the_run_with_its_reason(served: Collection) -> None:
    assert isinstance(served.server, MemoryServer)
    served.server.is_down = True
    with pytest.raises(VectorStoreUnavailable, match="does not answer"):
        served.run()


def test_a_rebuild_moves_to_another_engine(served: Collection) -> None:
    served.server = None
    with pytest.raises(IndexMismatch, match="VECTOR_STORE=milvus"):
        served.run()
    report = served.run(Options(rebuild=True))
    assert (report.embedded, report.added) == (3, 3)
    assert served.snapshot().pointer.engine == "faiss"
    assert served.indexed() == set(SERVED_KEYS)
