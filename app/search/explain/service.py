"""From a picture of the index and a text to the heat map that says where the text is in the picture."""

import asyncio
from functools import partial
from typing import Final

import numpy as np
from cachetools import LRUCache
from PIL import Image

from app.encoder.encoder import Encoder, Text
from app.encoder.workers import Workers
from app.errors import ImageNotFound, InvalidInput, NotConfigured, ObjectTooLarge, Overloaded
from app.pictures.processes import Decoders
from app.search.explain.drawing import draw, opened, small_copy
from app.search.explain.heat_map import HeatMap, cut, grid_of, heat_map, windows
from app.settings import ImageSettings
from app.storage.base import ObjectStore
from app.types import ImageRecord

KEPT: Final = 256
"""Maps, of a few hundred bytes each: a map is asked for as numbers, as a picture and in other sizes."""

MAX_WAITING: Final = 8
"""Maps that wait for the one being made. Each takes as long as 49 pictures take to be embedded."""

LOOKED_AT: Final = 640
"""Pixels of the longer side of the picture whose windows are embedded."""

ANY_PICTURE: Final = "a picture"
"""A text that fits any picture, so that cells do not count that look like pictures in general."""


class Explainer:
    """Makes one map at a time, so that searches wait for one small batch of pictures at most."""

    def __init__(
        self, store: ObjectStore, encoder: Encoder, decoders: Decoders, images: ImageSettings, workers: Workers
    ) -> None:
        self._store, self._encoder, self._decoders = store, encoder, decoders
        self._images, self._workers = images, workers
        self._kept: LRUCache[tuple[str, str], HeatMap] = LRUCache(KEPT)
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def model(self) -> str:
        """The fingerprint of the model that makes the maps."""
        return self._encoder.identity.fingerprint

    def check(self) -> None:
        """Raises NotConfigured for a model that does not look at pictures in patches."""
        if not self._encoder.has_patches:
            name = self._encoder.identity.name
            raise NotConfigured(
                f"Heat maps are made with Vision Transformers only, and the image tower of {name}"
                " is another kind of network. Set MODEL to a CLIP or SigLIP model with a ViT, or to `demo`."
            )

    async def explain(self, record: ImageRecord, text: str) -> HeatMap:
        """Raises NotConfigured, ImageNotFound, ObjectNotFound, StorageUnavailable, Overloaded, Unavailable."""
        self.check()
        key = record.content_hash, text
        if known := self._kept.get(key):
            return known
        if self._waiting > MAX_WAITING:
            raise Overloaded("Too many heat maps are being made. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                if (known := self._kept.get(key)) is None:
                    known = self._kept[key] = await self._make(record, text)
                return known
        finally:
            self._waiting -= 1

    async def draw(self, record: ImageRecord, made: HeatMap, max_side: int, *, overlay: bool) -> bytes:
        """A PNG with no side longer than `max_side` pixels. Raises as `explain`."""
        image = await self._picture(record, max_side)
        return await self._workers.run(partial(draw, made.shown, image, overlay=overlay))

    async def _make(self, record: ImageRecord, text: str) -> HeatMap:
        direction = await self._encoder.embed(Text(text)) - await self._encoder.embed(Text(ANY_PICTURE))
        image = await self._picture(record, LOOKED_AT)
        masks = windows(grid_of(image.size))
        parts = await self._workers.run(cut, image, masks)
        return heat_map(direction, np.stack(await self._encoder.embed_images(parts)), masks)

    async def _picture(self, record: ImageRecord, max_side: int) -> Image.Image:
        """The indexed picture in RGB, no side longer than `max_side` pixels. Raises as `explain`."""
        try:
            return await self._workers.run(self._read, record.object_key, max_side)
        except (InvalidInput, ObjectTooLarge) as error:
            raise ImageNotFound(f"The picture {record.object_key} can't be read any more: {error}") from error

    def _read(self, key: str, max_side: int) -> Image.Image:
        original = self._store.get(key, max_bytes=self._images.max_bytes)
        copy = self._decoders.run(partial(small_copy, max_side=max_side), original.data, self._images)
        return opened(copy)
