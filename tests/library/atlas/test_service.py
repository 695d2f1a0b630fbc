"""The atlas of a library: places and pages follow the index, pages are drawn once, and nothing hidden is shown."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image, ImageStat

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import ObjectNotFound, StorageUnavailable, Unavailable
from app.library.atlas.service import Atlas, Cell, Place
from app.library.thumbnails import Thumbnails
from app.pictures.processes import InThisProcess
from app.pictures.sprites import fitted
from app.settings import ImageSettings
from app.storage.base import ObjectStore
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, add_pictures, encoded, make_parts, picture, until
from tests.support.stores import WrappedStore

Result = TypeVar("Result")
EMBEDDER = FakeEmbedder()


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path / "bucket")


class Draw:
    """An atlas over parts, as a service has it."""

    def __init__(self, parts: Parts, store: ObjectStore | None = None, **options: float) -> None:
        self.parts = parts
        self.store = store or parts.index_store
        images = ImageSettings()
        self.thumbnails = Thumbnails(parts.store, images, self.store)
        workers = Workers(4, 16)
        self.atlas = Atlas(
            self.store, self.thumbnails, InThisProcess(), images, workers=workers, drawing=workers, **options
        )

    def view(self, *folders: str) -> View:
        snapshot = self.parts.catalog.load()
        assert snapshot is not None
        return View(snapshot, folders) if folders else View(snapshot)

    async def places(self, view: View | None = None, cell: Cell = Cell.SMALL) -> dict[str, Place]:
        view = self.view() if view is None else view
        places = await self.atlas.places(view, await self.atlas.layout(view, cell), list)
        return {place.id: place for place in places}

    async def versions(self, view: View | None = None) -> list[str]:
        return (await self.atlas.layout(self.view() if view is None else view, Cell.SMALL)).versions

    async def page(self, number: int = 0, view: View | None = None, cell: Cell = Cell.SMALL) -> Image.Image:
        data = await self.atlas.page(self.view() if view is None else view, cell, number)
        image = Image.open(io.BytesIO(data))
        assert image.format == "WEBP"
        return image.convert("RGB")

    def kept(self) -> set[str]:
        return {info.key for info in self.store.list("_atlas/")}


def run(test: Callable[[], Awaitable[Result]]) -> Result:
    """In a loop of its own; also from a worker thread."""
    return asyncio.run(_as_coroutine(test))


async def _as_coroutine(test: Callable[[], Awaitable[Result]]) -> Result:
    return await test()


def publish(parts: Parts, changes: Changes) -> None:
    parts.catalog.publish(changes, EMBEDDER.identity)


def assert_shows(page: Image.Image, place: Place, key: str) -> None:
    """That this part of the page is the picture of `key`, give or take the compression."""
    part = page.crop((place.x, place.y, place.x + place.w, place.y + place.h))
    expected = picture(key).resize(part.size)
    means = zip(ImageStat.Stat(part).mean, ImageStat.Stat(expected).mean, strict=True)
    assert all(abs(ours - theirs) < 12 for ours, theirs in means), key


def test_each_picture_lies_where_the_places_say(parts: Parts) -> None:
    draw = Draw(parts)

    async def test() -> None:
        places = await draw.places()
        page = await draw.page()
        assert page.size == (len(KEYS) * 64, 64)
        assert list(places) == [image_id_of(key) for key in sorted(KEYS)], "in the order of the keys"
        for key in KEYS:
            place = places[image_id_of(key)]
            assert (place.w, place.h) == fitted((60, 40), 64) == (60, 40), "never enlarged"
            assert_shows(page, place, key)

    run(test)


@pytest.mark.parametrize(("size", "cell", "fits"), [((4000, 3000), 64, (64, 48)), ((10, 2000), 64, (1, 64))])
def test_pictures_keep_their_proportions(size: tuple[int, int], cell: int, fits: tuple[int, int]) -> None:
    assert fitted(size, cell) == fits


def test_a_page_is_drawn_once_and_kept(parts: Parts) -> None:
    draw = Draw(parts)
    first = run(lambda: draw.atlas.page(draw.view(), Cell.SMALL, 0))
    for key in KEYS:
        parts.store.delete(key)
        draw.thumbnails.remove(image_id_of(key))
    assert run(lambda: Draw(parts).atlas.page(draw.view(), Cell.SMALL, 0)) == first


def test_two_services_draw_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        draw = Draw(make_parts(tmp_path / name))
        pages.append((run(draw.versions), run(lambda draw=draw: draw.atlas.page(draw.view(), Cell.SMALL, 0))))
    assert pages[0] == pages[1]


def test_a_new_picture_changes_the_last_page_alone(tmp_path: Path) -> None:
    keys = [f"{number:03}.jpg" for number in range(70)]
    parts = make_parts(tmp_path, keys=keys)
    draw = Draw(parts)

    async def test() -> None:
        view = draw.view()
        before = (await draw.atlas.layout(view, Cell.LARGE)).versions
        first, second = [await draw.atlas.page(view, Cell.LARGE, number) for number in (0, 1)]
        kept = draw.kept()
        publish(parts, add_pictures(parts.store, EMBEDDER, ["000 before them all.jpg"]))
        view = draw.view()
        after = (await draw.atlas.layout(view, Cell.LARGE)).versions
        assert [ours == theirs for ours, theirs in zip(before, after, strict=True)] == [True, False]
        assert await draw.atlas.page(view, Cell.LARGE, 0) == first
        assert await draw.atlas.page(view, Cell.LARGE, 1) != second
        assert len(draw.kept()) == len(kept) == 3, "the layout and one version of each page"

    run(test)


def test_a_deleted_picture_leaves_the_page_and_its_slot_is_used_again(parts: Parts) -> None:
    draw = Draw(parts)
    gone, new = "nature/sunset1.jpg", "zebra.jpg"

    async def test() -> None:
        before = await draw.places()
        await draw.page()
        publish(parts, Changes(removed=frozenset({image_id_of(gone)})))
        places = await draw.places()
        assert places.keys() == before.keys() - {image_id_of(gone)}
        place = before[image_id_of(gone)]
        assert (await draw.page()).getpixel((place.x + 20, place.y + 20)) == (0, 0, 0)
        publish(parts, add_pictures(parts.store, EMBEDDER, [new]))
        places = await draw.places()
        assert (places[image_id_of(new)].x, places[image_id_of(new)].y) == (place.x, place.y)
        assert_shows(await draw.page(), place, new)
        assert {key: places[key] for key in before.keys() - {image_id_of(gone)}} == {
            key: value for key, value in before.items() if key != image_id_of(gone)
        }

    run(test)


def test_pages_that_show_a_picture_are_deleted_on_demand(parts: Parts) -> None:
    draw = Draw(parts)

    async def test() -> None:
        await draw.page()
        await draw.page(view=draw.view("nature"))
        await draw.page(view=draw.view("animals"))
        draw.atlas.remove([image_id_of("nature/sunset1.jpg")])
        assert sum(key.endswith(".webp") for key in draw.kept()) == 1, "that of the folder without it"
        assert sum(key.endswith("layout.json") for key in draw.kept()) == 3
        assert_shows(await draw.page(), (await draw.places())[image_id_of("top.png")], "top.png")

    run(test)


def test_a_changed_picture_is_drawn_again_in_its_place(parts: Parts) -> None:
    draw = Draw(parts)
    key = "top.png"

    async def test() -> None:
        before = (await draw.places())[image_id_of(key)]
        await draw.page()
        changes = add_pictures(parts.store, EMBEDDER, [key])
        etag = parts.store.put(key, encoded(Image.new("RGB", (60, 40), "white")))
        publish(parts, replace(changes, added=(replace(changes.added[0], etag=etag, content_hash="ab" * 16),)))
        assert (await draw.places())[image_id_of(key)] == before
        assert min((await draw.page()).getpixel((before.x + 30, before.y + 20))) > 240

    run(test)


def test_a_scope_has_an_atlas_of_its_own(parts: Parts) -> None:
    draw = Draw(parts)

    async def test() -> None:
        await draw.page()
        narrow = draw.view("nature")
        places = await draw.places(narrow)
        assert places.keys() == {image_id_of(key) for key in KEYS if key.startswith("nature/")}
        page = await draw.page(view=narrow)
        assert page.size == (3 * 64, 64)
        for key in KEYS:
            if key.startswith("nature/"):
                assert_shows(page, places[image_id_of(key)], key)
        nothing = draw.view("no such folder")
        assert await draw.places(nothing) == {}
        with pytest.raises(ObjectNotFound, match="0 pages"):
            await draw.atlas.page(nothing, Cell.SMALL, 0)

    run(test)


@pytest.mark.parametrize("number", [-1, 1, 10**9])
def test_a_page_that_does_not_exist(parts: Parts, number: int) -> None:
    with pytest.raises(ObjectNotFound, match="1 pages, numbered from 0"):
        run(lambda: Draw(parts).atlas.page(Draw(parts).view(), Cell.SMALL, number))


def test_a_picture_that_can_not_be_read_leaves_a_black_cell(parts: Parts) -> None:
    parts.store.delete("top.png")
    parts.store.put("nature/sunset1.jpg", b"rubbish")
    draw = Draw(parts)

    async def test() -> None:
        page, places = await draw.page(), await draw.places()
        for key in ("top.png", "nature/sunset1.jpg"):
            place = places[image_id_of(key)]
            assert page.crop((place.x + 4, place.y + 4, place.x + 56, place.y + 36)).getbbox() is None
        assert_shows(page, places[image_id_of("animals/dog2.png")], "animals/dog2.png")

    run(test)


class ReadOnly(WrappedStore):
    def put(self, key: str, body: Any, **options: Any) -> str:
        raise StorageUnavailable("AccessDenied")


def test_a_store_that_can_not_be_written_to_costs_the_work_again(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    draw = Draw(parts, ReadOnly(parts.index_store))
    assert run(draw.page).size == (len(KEYS) * 64, 64)
    assert "AccessDenied" in caplog.text
    assert draw.kept() == set()


@pytest.mark.parametrize("rubbish", [b"rubbish", b"{}", b""])
def test_a_damaged_layout_is_made_again(parts: Parts, rubbish: bytes) -> None:
    draw = Draw(parts)
    before = run(draw.places)
    (key,) = draw.kept()
    parts.store.put(key, rubbish)
    assert run(Draw(parts).places) == before
    assert parts.store.get(key).data != rubbish


def test_of_two_replicas_the_one_behind_does_not_undo_the_layout_of_the_other(parts: Parts) -> None:
    ahead, behind = Draw(parts), Draw(parts)
    old = behind.view()
    run(ahead.places)
    publish(parts, add_pictures(parts.store, EMBEDDER, ["a/new.jpg"]))

    async def test() -> None:
        new = await ahead.places()
        kept = {key: parts.store.get(key).etag for key in ahead.kept()}
        assert (await behind.places(old)).keys() == new.keys() - {image_id_of("a/new.jpg")}
        assert {key: parts.store.get(key).etag for key in ahead.kept()} == kept
        assert await behind.places() == new

    run(test)


def test_two_that_lay_out_at_the_same_time_agree(parts: Parts) -> None:
    class Racing(WrappedStore):
        """Another replica is first, once."""

        raced = False

        def put(self, key: str, body: Any, **options: Any) -> str:
            if key.endswith("layout.json") and not self.raced:
                self.raced = True
                run(Draw(parts).places)
            return super().put(key, body, **options)

    racing = Racing(parts.index_store)
    assert run(Draw(parts, racing).places) == run(Draw(parts).places)
    assert racing.raced


def test_a_page_that_takes_long_is_drawn_behind_and_there_later(parts: Parts) -> None:
    gate = threading.Event()

    class Gated(WrappedStore):
        def get(self, key: str, **options: Any):
            assert key != "top.png" or gate.wait(20)
            return super().get(key, **options)

    gated = Parts(parts.settings, Gated(parts.store), parts.catalog, parts.model, parts.index_store)
    draw = Draw(gated, patience_s=0.01)

    async def test() -> None:
        view = draw.view()
        for _ in range(2):
            with pytest.raises(Unavailable, match="being drawn"):
                await draw.atlas.page(view, Cell.SMALL, 0)
        gate.set()
        await until(lambda: any(key.endswith(".webp") for key in draw.kept()))
        assert (await draw.page(view=view)).size == (len(KEYS) * 64, 64)

    run(test)


def test_clients_that_ask_at_the_same_time_wait_for_one_drawing(parts: Parts) -> None:
    class Counting(WrappedStore):
        reads = 0

        def get(self, key: str, **options: Any):
            self.reads += key == "top.png"
            return super().get(key, **options)

    counting = Counting(parts.store)
    draw = Draw(Parts(parts.settings, counting, parts.catalog, parts.model, counting))

    async def test() -> None:
        view = draw.view()
        pages = await asyncio.gather(*(draw.atlas.page(view, Cell.SMALL, 0) for _ in range(5)))
        assert len(set(pages)) == 1
        assert counting.reads == 1

    run(test)
