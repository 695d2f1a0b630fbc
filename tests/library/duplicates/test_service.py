"""Comparisons of views: what is visible, what a change costs, and requests that come while one goes on."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.catalog.catalog import Catalog
from app.catalog.changes import Changes
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import DismissalNotFound, ImageNotFound, InvalidInput, StillComparing
from app.http.addresses import Locator
from app.library.duplicates import service as duplicates
from app.library.duplicates.dismissals import Dismissals
from app.library.duplicates.groups import Kind
from app.library.duplicates.service import Comparison, Duplicates, Page, Wanted, compare
from app.storage.local import LocalStore
from app.types import Vectors, image_id_of
from tests.support.catalogs import MODEL, adding, catalog_on, removing
from tests.support.service import until

BURST_S = 10.0
NAMES = [f"a/{number}.jpg" for number in range(30)]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_on(LocalStore(tmp_path))


def look_of(seed: int, changed_bits: int = 0) -> str:
    """A perceptual hash of two parts."""
    bits = np.random.default_rng(seed).permutation(512) < 256
    bits[:changed_bits] ^= True
    return np.packbits(bits).tobytes().hex()


def pictures(*keys: str) -> Changes:
    """Pictures that differ in everything."""
    changes = adding(*keys)
    records = [replace(each, perceptual_hash=look_of(int(each.image_id, 16))) for each in changes.added]
    return replace(changes, added=tuple(records))


def copies(of: Changes, **names: str) -> Changes:
    """The same photos under other names and with other contents: `copies(changes, of="copy")`."""
    chosen = [(place, each) for place, each in enumerate(of.added) if each.object_key in names]
    made = [
        replace(record, perceptual_hash=each.perceptual_hash)
        for (_, each) in chosen
        for record in adding(names[each.object_key]).added
    ]
    assert of.vectors is not None
    return Changes(added=tuple(made), vectors=of.vectors[[place for place, _ in chosen]])


def published(catalog: Catalog, changes: Changes) -> View:
    return View(catalog.publish(changes, MODEL, since=catalog.load()))


def keys_in(view: View, kind: Kind = Kind.PHOTO, before: Comparison | None = None) -> list[list[str]]:
    """The keys of each group, compared now."""
    return keys_of(view, compare(view, BURST_S, before), kind)


def keys_of(view: View, comparison: Comparison, kind: Kind = Kind.PHOTO) -> list[list[str]]:
    groups = comparison.groups[kind]
    return sorted(sorted(each.object_key for each in view.records_of(group.rows)) for group in groups)


class Watched(View):
    """Notes whose vectors are read."""

    def vectors_of(self, rows: Sequence[int]) -> Vectors:
        self.read = [*getattr(self, "read", []), *rows]
        return super().vectors_of(rows)


def test_a_view_shows_the_duplicates_that_it_may_see(catalog: Catalog) -> None:
    originals = pictures(*NAMES)
    published(catalog, originals)
    published(catalog, copies(originals, **{"a/1.jpg": "b/1.jpg", "a/2.jpg": "a/copy.jpg"}))
    snapshot = catalog.load()
    assert snapshot is not None
    assert keys_in(View(snapshot)) == [["a/1.jpg", "b/1.jpg"], ["a/2.jpg", "a/copy.jpg"]]
    assert keys_in(View(snapshot, ("a",))) == [["a/2.jpg", "a/copy.jpg"]]
    assert keys_in(View(snapshot, ())) == []


def test_a_new_picture_costs_its_own_comparison(catalog: Catalog) -> None:
    originals = pictures(*NAMES)
    before = compare(published(catalog, originals), BURST_S)
    assert not before.groups[Kind.PHOTO]
    published(catalog, copies(originals, **{"a/3.jpg": "b/3.jpg"}))
    snapshot = catalog.load()
    assert snapshot is not None
    watched = Watched(snapshot)
    after = compare(watched, BURST_S, before)
    assert keys_of(watched, after) == [["a/3.jpg", "b/3.jpg"]] == keys_in(View(snapshot))
    assert len(watched.read) <= 4, "its own vector and those of its candidates"
    assert after.levels == before.levels


def test_pictures_that_go_or_change_leave_their_groups(catalog: Catalog) -> None:
    originals = pictures(*NAMES)
    published(catalog, originals)
    names = {"a/3.jpg": "b/3.jpg", "a/4.jpg": "b/4.jpg", "a/5.jpg": "b/5.jpg"}
    before = compare(published(catalog, copies(originals, **names)), BURST_S)
    assert len(before.groups[Kind.PHOTO]) == 3
    published(catalog, removing("b/3.jpg"))
    changed = adding("b/4.jpg", etag="2")
    look = replace(changed, added=tuple(replace(each, perceptual_hash=look_of(77)) for each in changed.added))
    assert keys_in(published(catalog, look), before=before) == [["a/5.jpg", "b/5.jpg"]]


def test_a_copy_of_the_same_bytes_takes_the_place_of_one_that_goes(catalog: Catalog) -> None:
    originals = pictures(*NAMES)
    twin = replace(originals.added[3], image_id=image_id_of("b/3.jpg"), object_key="b/3.jpg")
    assert originals.vectors is not None
    published(catalog, originals)
    published(catalog, Changes(added=(twin,), vectors=originals.vectors[3:4]))
    view = published(catalog, copies(originals, **{"a/3.jpg": "c/3.jpg"}))
    before = compare(view, BURST_S)
    assert keys_of(view, before, Kind.BYTES) == [["a/3.jpg", "b/3.jpg"]]
    assert keys_of(view, before) == [["a/3.jpg", "c/3.jpg"]]
    view = published(catalog, removing("a/3.jpg"))
    assert keys_in(view, Kind.BYTES, before) == []
    assert keys_in(view, Kind.PHOTO, before) == [["b/3.jpg", "c/3.jpg"]]


def test_near_vectors_of_new_pictures_come_from_the_index(catalog: Catalog) -> None:
    originals = pictures(*NAMES)
    before = compare(published(catalog, originals), BURST_S)
    like = replace(pictures("b/like.jpg"), vectors=originals.vectors[7:8])  # type: ignore[index]
    groups = keys_in(published(catalog, like), Kind.SIMILAR, before)
    assert any({"a/7.jpg", "b/like.jpg"} <= set(keys) for keys in groups)


def test_much_that_is_new_is_compared_with_all(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "FEW_NEW", 1)
    originals = pictures(*NAMES)
    before = compare(published(catalog, originals), BURST_S)
    names = {key: key.replace("a/", "b/") for key in NAMES[:3]}
    after = compare(published(catalog, copies(originals, **names)), BURST_S, before)
    assert len(after.groups[Kind.PHOTO]) == 3
    assert (before.calibrated_for, after.calibrated_for) == (30, 33)


def test_pictures_without_a_hash_are_counted(catalog: Catalog) -> None:
    published(catalog, pictures(*NAMES))
    comparison = compare(published(catalog, adding("b/old.jpg", "b/older.jpg")), BURST_S)
    assert comparison.uncompared == 2


@pytest.fixture
def view(catalog: Catalog) -> View:
    """Three groups of the same photo."""
    originals = pictures(*NAMES)
    published(catalog, originals)
    return published(catalog, copies(originals, **{f"a/{number}.jpg": f"b/{number}.jpg" for number in range(3)}))


@pytest.fixture
def service(tmp_path: Path) -> Duplicates:
    return service_on(LocalStore(tmp_path))


def service_on(store: LocalStore, wait_s: float = 20) -> Duplicates:
    locator = Locator(store, link_expires_s=60)
    return Duplicates(Dismissals(store), locator, Workers(2, 8), BURST_S, wait_s)


def ids_of(page: Page) -> list[str]:
    return [found.group.id for found in page.groups]


def test_pages_follow_each_other(service: Duplicates, view: View) -> None:
    async def walk() -> None:
        wanted = Wanted(Kind.PHOTO)
        whole = await service.page(view, wanted, 10)
        assert (whole.count, len(whole.groups), whole.next_cursor) == (3, 3, None)
        first = await service.page(view, wanted, 2)
        second = await service.page(view, wanted, 2, first.next_cursor)
        assert ids_of(first) + ids_of(second) == ids_of(whole)
        assert second.next_cursor is None
        for other in (Wanted(Kind.BYTES), Wanted(Kind.PHOTO, dismissed=True)):
            with pytest.raises(InvalidInput, match="of another list"):
                await service.page(view, other, 2, first.next_cursor)
        for broken in ("x", "bnVsbA", "!"):
            with pytest.raises(InvalidInput, match="can't be read"):
                await service.page(view, wanted, 2, broken)

    asyncio.run(walk())


def test_a_group_has_its_pictures_with_their_cosines(service: Duplicates, view: View) -> None:
    async def ask() -> None:
        page = await service.page(view, Wanted(Kind.PHOTO), 1)
        (found,) = page.groups
        ((hit, member),) = found.others
        assert hit.record.folder != found.keep.record.folder
        assert hit.score == pytest.approx(1)
        assert not member.turned
        assert page.freed_bytes == 3000

    asyncio.run(ask())


def test_dismissals_hold_for_all_replicas_until_they_are_undone(tmp_path: Path, view: View) -> None:
    async def dismiss() -> None:
        one, other = (service_on(LocalStore(tmp_path)) for _ in range(2))
        wanted, hidden = Wanted(Kind.PHOTO), Wanted(Kind.PHOTO, dismissed=True)
        (first, *_) = (await one.page(view, wanted, 3)).groups
        ids = [found.record.image_id for found in (first.keep, *(hit for hit, _ in first.others))]
        made = await one.dismiss(view, Kind.PHOTO, ids)
        assert made.id == first.group.id
        assert first.group.id not in ids_of(await other.page(view, wanted, 3))
        page = await other.page(view, hidden, 3)
        assert (ids_of(page), page.groups[0].dismissal) == ([made.id], made)
        await other.restore(view, made.id)
        assert first.group.id in ids_of(await one.page(view, wanted, 3))
        with pytest.raises(DismissalNotFound):
            await one.restore(view, made.id)

    asyncio.run(dismiss())


def test_what_a_caller_may_not_see_it_can_neither_dismiss_nor_restore(
    service: Duplicates, view: View, catalog: Catalog
) -> None:
    snapshot = catalog.load()
    assert snapshot is not None
    scoped = View(snapshot, ("c",))

    async def try_it() -> None:
        ids = [image_id_of("a/0.jpg"), image_id_of("b/0.jpg")]
        with pytest.raises(ImageNotFound):
            await service.dismiss(scoped, Kind.PHOTO, ids)
        with pytest.raises(InvalidInput, match="at least two"):
            await service.dismiss(view, Kind.PHOTO, ids[:1] * 2)
        made = await service.dismiss(view, Kind.PHOTO, ids)
        with pytest.raises(DismissalNotFound):
            await service.restore(scoped, made.id)

    asyncio.run(try_it())


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Comparisons wait for it."""
    opened = threading.Event()

    def waiting(*arguments: object) -> Comparison:
        assert opened.wait(20)
        return compare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(duplicates, "compare", waiting)
    yield opened
    opened.set()


def test_a_request_does_not_wait_for_ever(tmp_path: Path, view: View, gate: threading.Event) -> None:
    async def ask() -> None:
        service = service_on(LocalStore(tmp_path), wait_s=0.01)
        for _ in range(2):
            with pytest.raises(StillComparing):
                await service.page(view, Wanted(Kind.PHOTO), 3)
        gate.set()
        async with asyncio.timeout(20):
            while True:
                try:
                    page = await service.page(view, Wanted(Kind.PHOTO), 3)
                    break
                except StillComparing:
                    await asyncio.sleep(0.01)
        assert page.count == 3

    asyncio.run(ask())


def test_states_that_come_during_a_comparison_start_from_it(
    tmp_path: Path, view: View, catalog: Catalog, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first one takes long, the library changes; nothing is compared from nothing again."""
    befores = []
    compare_gated = duplicates.compare

    def noting(seen: View, burst_s: float, before: Comparison | None) -> Comparison:
        befores.append(before)
        return compare_gated(seen, burst_s, before)

    monkeypatch.setattr(duplicates, "compare", noting)

    async def ask() -> None:
        service = service_on(LocalStore(tmp_path))
        asking = [asyncio.create_task(service.page(view, Wanted(Kind.PHOTO), 3))]
        await until(lambda: bool(befores))
        for number in (1, 2):
            later = published(catalog, removing(f"b/{number}.jpg"))
            asking.append(asyncio.create_task(service.page(later, Wanted(Kind.PHOTO), 3)))
        gate.set()
        assert [page.count for page in await asyncio.gather(*asking)] == [3, 2, 1]
        assert [before is None for before in befores] == [True, False, False]

    asyncio.run(ask())


def test_a_service_that_stops_waits_for_no_comparison(tmp_path: Path, view: View, gate: threading.Event) -> None:
    async def ask() -> None:
        service = service_on(LocalStore(tmp_path))
        asking = asyncio.create_task(service.page(view, Wanted(Kind.PHOTO), 3))
        await until(lambda: service.is_comparing)
        await service.stop()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ask())


def test_an_error_of_a_comparison_reaches_all_that_asked(
    service: Duplicates, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Comparison:
        raise ZeroDivisionError("a bug")

    async def ask() -> None:
        asking = [service.page(view, Wanted(kind), 3) for kind in Kind]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in outcomes] == [ZeroDivisionError] * 3

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "compare", failing)
        asyncio.run(ask())
