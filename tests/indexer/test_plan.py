"""The plan of a run, for listings and snapshots of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.changes import Changes, Snapshot
from app.catalog.pointer import Pointer
from app.errors import ShrinkRefused
from app.storage.base import ObjectInfo
from app.types import Skip
from indexer.plan import Diff, diff_listing, may_hold_news, refuse_shrink, under_new_keys
from tests.support.catalogs import MODEL, adding

EMPTY = Snapshot.empty(Pointer("00000001-0", "token", MODEL, 0, 0, 0.0, ()))
MAX_BYTES = 5000

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
    diff = diff_listing(
        listing_of(objects),
        snapshot_of(indexed, skipped),
        max_bytes=MAX_BYTES,
        rebuild=rebuild,
        retry_skipped=retry_skipped,
    )
    assert diff.seen == len(objects)
    assert diff.seen == diff.unchanged + len(diff.to_read) + len(diff.too_large) + len(diff.still_broken)
    assert {record.object_key for record in diff.gone} == indexed.keys() - objects.keys()
    assert diff.forgotten <= skipped.keys()
    assert skipped.keys() - objects.keys() <= diff.forgotten
    assert all(info.size_bytes <= MAX_BYTES for info in diff.to_read)
    for info in diff.to_read:
        assert rebuild or indexed.get(info.key) != info.etag
        assert rebuild or retry_skipped or skipped.get(info.key) != info.etag


def check_shrink(diff: Diff, snapshot: Snapshot, max_shrink: float) -> None:
    appeared = under_new_keys(diff.to_read, snapshot)
    refuse_shrink(diff.gone, appeared, snapshot, max_shrink=max_shrink, url="file://x")


def test_without_an_index_everything_is_new() -> None:
    diff = diff_listing(listing_of({"a.jpg": ("1", 10), "b.jpg": ("2", 10)}), None, max_bytes=MAX_BYTES)
    assert [info.key for info in diff.to_read] == ["a.jpg", "b.jpg"]
    assert (diff.unchanged, diff.gone, diff.forgotten) == (0, (), frozenset())


def test_moved_pictures_are_no_loss() -> None:
    snapshot = snapshot_of({f"old/{n}.jpg": str(n) for n in range(4)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    moved = {f"new/{n}.jpg": (str(n), size) for n in range(4)}
    diff = diff_listing(listing_of(moved), snapshot, max_bytes=MAX_BYTES)
    assert len(diff.gone) == 4
    check_shrink(diff, snapshot, 0.0)
    assert not may_hold_news(diff, snapshot.records.values())

    others = {key: (etag, size + 1) for key, (etag, size) in moved.items()}
    diff = diff_listing(listing_of(others), snapshot, max_bytes=MAX_BYTES)
    assert may_hold_news(diff, snapshot.records.values())
    with pytest.raises(ShrinkRefused, match="4 of the 4 indexed pictures are gone from file://x"):
        check_shrink(diff, snapshot, 0.5)


@pytest.mark.parametrize(
    ("gone", "max_shrink", "refused"), [(5, 0.5, False), (6, 0.5, True), (1, 0.0, True), (10, 1.0, False)]
)
def test_the_limit_itself_is_allowed(gone: int, max_shrink: float, refused: bool) -> None:
    snapshot = snapshot_of({f"{n}.jpg": "1" for n in range(10)}, {})
    kept = {f"{n}.jpg": ("1", 10) for n in range(gone, 10)}
    diff = diff_listing(listing_of(kept), snapshot, max_bytes=MAX_BYTES)
    if refused:
        with pytest.raises(ShrinkRefused):
            check_shrink(diff, snapshot, max_shrink)
    else:
        check_shrink(diff, snapshot, max_shrink)


def test_an_index_without_pictures_cannot_shrink() -> None:
    check_shrink(diff_listing([], EMPTY, max_bytes=1), EMPTY, 0.0)


def test_one_copy_that_appears_makes_up_for_one_that_went() -> None:
    """Ten equal pictures become one under a new key: nine are lost."""
    snapshot = snapshot_of({f"old/{n}.jpg": "same" for n in range(10)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    diff = diff_listing(listing_of({"new.jpg": ("same", size)}), snapshot, max_bytes=MAX_BYTES)
    with pytest.raises(ShrinkRefused, match="9 of the 10"):
        check_shrink(diff, snapshot, 0.5)


def test_what_a_rebuild_reads_again_under_its_old_key_has_not_appeared() -> None:
    snapshot = snapshot_of({f"{n}.jpg": "same" for n in range(10)}, {})
    size = next(iter(snapshot.records.values())).size_bytes
    kept = {f"{n}.jpg": ("same", size) for n in range(4)}
    diff = diff_listing(listing_of(kept), snapshot, max_bytes=MAX_BYTES, rebuild=True)
    assert len(diff.to_read) == 4
    with pytest.raises(ShrinkRefused, match="6 of the 10"):
        check_shrink(diff, snapshot, 0.5)


def test_a_picture_that_was_broken_and_is_now_too_large_is_no_longer_remembered() -> None:
    """Else it would be read no sooner than it changes again, whatever the limit allows by then."""
    snapshot = snapshot_of({}, {"a.jpg": "1", "b.jpg": "1"})
    listing = listing_of({"a.jpg": ("2", MAX_BYTES + 1), "b.jpg": ("1", 10)})
    assert diff_listing(listing, snapshot, max_bytes=MAX_BYTES).forgotten == {"a.jpg"}
