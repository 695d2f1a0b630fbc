"""The sprite atlas of a library: all pictures in small, on few large pages, so that a map can draw thousands at once.

The layout (which picture lies where) is kept in the index store and follows the index. A page is drawn when it is
first asked for, from the thumbnails, and kept until its pictures change. Each scope of view has an atlas of its own,
so that no page shows what its caller may not see.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from hashlib import blake2b
from typing import Final, TypeVar

import numpy as np
from cachetools import LRUCache
from PIL import Image

from app.catalog.layout import ATLAS_PREFIX
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import (
    ImageNotFound,
    InvalidInput,
    ObjectNotFound,
    PreconditionFailed,
    StorageUnavailable,
    Unavailable,
)
from app.library.atlas.layout import AtlasLayout
from app.library.thumbnails import Thumbnails
from app.pictures.processes import Decoders
from app.pictures.sprites import Sprite, draw, encoded_page, fitted, fitted_sides, sprite_pixels
from app.settings import ImageSettings
from app.storage.base import KEYS_ONLY, ObjectStore
from app.types import ImageRecord, row_id

log = logging.getLogger(__name__)

DRAWING_THREADS: Final = 4
"""Thumbnails that one page reads and decodes at the same time."""

PATIENCE_S: Final = 20.0
"""Seconds that a client waits for a page: less than proxies do. A thousand large originals may take longer."""

ATTEMPTS: Final = 5
"""Lost races for a layout after which it is not kept this time."""

MAX_LAYOUTS: Final = 16
"""Layouts in memory; one of 100,000 pictures takes 1.6 MB."""


Encoded = TypeVar("Encoded")


class Cell(IntEnum):
    """Side of a cell, pixels. A closed list: each one is an atlas of its own in the store."""

    TINY = 32
    SMALL = 64
    MEDIUM = 128
    LARGE = 256


@dataclass(slots=True)
class Place:
    """Where a picture lies in the atlas, pixels."""

    id: str
    page: int
    x: int
    y: int
    w: int
    h: int


class Atlas:
    """Places and pages for the views of one index. For one event loop."""

    def __init__(
        self,
        store: ObjectStore,
        thumbnails: Thumbnails,
        decoders: Decoders,
        images: ImageSettings,
        *,
        workers: Workers,
        drawing: Workers,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`store` keeps layouts and pages; `drawing` are the threads that draw pages."""
        self._layouts = _Layouts(store)
        self._pages = _Pages(store, thumbnails, decoders, images)
        self._workers = workers
        self._drawing = drawing
        self._patience_s = patience_s
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def layout(self, view: View, cell: Cell) -> AtlasLayout:
        """Of all pictures of the view. Raises IndexCorrupt, StorageUnavailable."""
        return await self._workers.run(self._layouts.of, view, cell)

    async def places(self, view: View, layout: AtlasLayout, encode: Callable[[list[Place]], Encoded]) -> Encoded:
        """What `encode` makes of the places of all pictures, in the order of pages and slots. Raises IndexCorrupt."""
        return await self._workers.run(lambda: encode(_places(view, layout)))

    async def version(self, view: View, cell: Cell, number: int) -> str:
        """Differs when the page does. Raises ObjectNotFound where there is no such page, IndexCorrupt."""
        layout = await self.layout(view, cell)
        check_page(layout, number)
        return layout.versions[number]

    async def page(self, view: View, cell: Cell, number: int) -> bytes:
        """A page as WebP. Raises ObjectNotFound where there is no such page, Overloaded, Unavailable, IndexCorrupt."""
        layout = await self.layout(view, cell)
        check_page(layout, number)
        key = page_key(view, cell, number, layout.versions[number])
        if kept := await self._workers.run(self._pages.kept, key):
            return kept
        return await self._drawn_once(key, partial(self._pages.draw, key, view, layout, number))

    async def stop(self) -> None:
        """Leave the pages that are being drawn."""
        for task in list(self._under_way.values()):
            task.cancel()

    def remove(self, image_ids: Iterable[str]) -> None:
        """Delete the pages that show one of these pictures; they are drawn again without it.

        For a worker thread. Raises StorageUnavailable.
        """
        self._layouts.delete_pages([row_id(image_id) for image_id in image_ids])

    async def _drawn_once(self, key: str, draw: Callable[[], bytes]) -> bytes:
        """Clients that ask for the same page at the same time wait for one drawing, which goes on if they leave."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._drawing.run(draw), name=f"draw {key}")
            task.add_done_callback(partial(self._forget, key))
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._patience_s)
        except TimeoutError as error:
            raise Unavailable("The page is being drawn for the first time. Ask again in a moment.") from error

    def _forget(self, key: str, task: "asyncio.Task[bytes]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # told to those who waited; if all have left, it is not to be logged as lost


def check_page(layout: AtlasLayout, number: int) -> None:
    """Raises ObjectNotFound."""
    if not 0 <= number < layout.pages:
        raise ObjectNotFound(
            f"The atlas has {layout.pages:,} pages, numbered from 0, and none is number {number:,}. Ask for /atlas."
        )


def atlas_prefix(view: View, cell: int) -> str:
    """Where an atlas is kept. The scope is part of it."""
    _, *scope = view.state
    name = blake2b("\0".join(scope).encode(), digest_size=8).hexdigest()
    return f"{ATLAS_PREFIX}{cell}/{name}/"


def page_key(view: View, cell: int, number: int, version: str) -> str:
    return f"{atlas_prefix(view, cell)}{number}-{version}.webp"


def _places(view: View, layout: AtlasLayout) -> list[Place]:
    columns, slots = view.columns, layout.used
    order = np.argsort(columns.rows)
    found = order[np.searchsorted(columns.rows, layout.rows[slots], sorter=order)]
    names = (f"{row & (1 << 64) - 1:016x}" for row in layout.rows[slots].tolist())
    sizes = fitted_sides(columns.widths[found], columns.heights[found], layout.cell)
    numbers = (each.tolist() for each in (*layout.corners(slots), *sizes))
    return [Place(*values) for values in zip(names, *numbers, strict=True)]


class _Layouts:
    """The layouts, each in the state of a view. Thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: LRUCache[str, tuple[str, AtlasLayout]] = LRUCache(MAX_LAYOUTS)
        """By key, with the token of the state that it shows."""
        self._syncing = threading.Lock()

    def of(self, view: View, cell: int) -> AtlasLayout:
        """The layout that shows the view. What has changed since the last call is kept in the store, if it can be."""
        key, token = f"{atlas_prefix(view, cell)}layout.json", view.state[0]
        with self._syncing:
            known = self._known.get(key)
            if known is None or known[0] != token:
                known = self._known[key] = token, self._synced(key, view, cell)
            return known[1]

    def delete_pages(self, rows: list[int]) -> None:
        """Of every kept atlas, those that show one of these rows. Raises StorageUnavailable."""
        for info in list(self._store.list(ATLAS_PREFIX, selection=KEYS_ONLY)):
            if info.key.endswith("/layout.json"):
                layout, _, _ = self._stored(info.key, int(info.key.split("/")[1]))
                slots = layout.used[np.isin(layout.rows[layout.used], rows)]
                for page in np.unique(layout.corners(slots)[0]).tolist():
                    _delete_versions(self._store, f"{info.key.removesuffix('layout.json')}{page}-")

    def _synced(self, key: str, view: View, cell: int) -> AtlasLayout:
        columns = view.columns
        for _ in range(ATTEMPTS):
            stored, etag, published_at = self._stored(key, cell)
            layout = stored.synced(columns.rows[columns.order], columns.contents[columns.order])
            if layout.same_as(stored) or published_at > view.published_at:  # another replica is ahead of this one
                return layout
            try:
                body = layout.to_json(published_at=view.published_at)
                if etag is None:
                    self._store.put(key, body, content_type="application/json", if_none_match=True)
                else:
                    self._store.put(key, body, content_type="application/json", if_match=etag)
            except PreconditionFailed:
                continue
            except StorageUnavailable as error:
                log.warning("The layout of the atlas could not be kept: %s", error)
            return layout
        return layout

    def _stored(self, key: str, cell: int) -> tuple[AtlasLayout, str | None, float]:
        """With its etag, None where there is none, and when the state that it shows was published."""
        try:
            found = self._store.get(key)
        except ObjectNotFound:
            return AtlasLayout.empty(cell), None, 0.0
        try:
            layout, published_at = AtlasLayout.from_json(found.data, cell)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s can't be read and is made again: %s", key, error)
            return AtlasLayout.empty(cell), found.etag, 0.0
        return layout, found.etag, published_at


class _Pages:
    """Draws pages and keeps them. Thread-safe."""

    def __init__(self, store: ObjectStore, thumbnails: Thumbnails, decoders: Decoders, images: ImageSettings) -> None:
        self._store = store
        self._thumbnails = thumbnails
        self._decoders = decoders
        self._images = images

    def kept(self, key: str) -> bytes | None:
        try:
            return self._store.get(key).data
        except ObjectNotFound:
            return None

    def draw(self, key: str, view: View, layout: AtlasLayout, number: int) -> bytes:
        """The page as WebP, which is then kept. A picture that can't be read leaves its cell black.

        Raises Unavailable.
        """
        page = Image.new("RGB", layout.size_of(number))
        slots = layout.used_on(number)
        _, xs, ys = layout.corners(slots)
        sprites = self._sprites(view.records_of(layout.rows[slots].tolist()), layout.cell)
        for corner, sprite in zip(zip(xs.tolist(), ys.tolist(), strict=True), sprites, strict=True):
            draw(page, corner, layout.cell, sprite)
        data = encoded_page(page, "webp")
        try:
            _delete_versions(self._store, key.rpartition("-")[0] + "-")
            self._store.put(key, data, content_type="image/webp")
        except StorageUnavailable as error:
            log.warning("A page of the atlas could not be kept: %s", error)
        return data

    def _sprites(self, records: list[ImageRecord], cell: int) -> Iterator[Sprite | None]:
        with ThreadPoolExecutor(DRAWING_THREADS, thread_name_prefix="sprites") as threads:
            yield from threads.map(partial(self._sprite, cell=cell), records)

    def _sprite(self, record: ImageRecord, cell: int) -> Sprite | None:
        size = fitted((record.width, record.height), cell)
        try:
            thumbnail = self._thumbnails.kept(record) or self._thumbnails.make(record)
            return size, self._decoders.run(partial(sprite_pixels, size=size), thumbnail.data, self._images)
        except (ImageNotFound, ObjectNotFound, InvalidInput) as error:
            log.info("%s is left out of the atlas: %s", record.object_key, error)
            return None


def _delete_versions(store: ObjectStore, prefix: str) -> None:
    """Delete the kept versions of a page. Raises StorageUnavailable."""
    for info in list(store.list(prefix, selection=KEYS_ONLY)):
        store.delete(info.key)
