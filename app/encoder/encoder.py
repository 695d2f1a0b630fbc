"""Terms of a query to vectors, for many callers at once.

A term is a text, a picture file, an indexed picture or a vector. Files are decoded in worker threads; texts and
pictures then share the model's forward passes.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from app.catalog.view import View
from app.encoder.batching import MicroBatcher, TextCache
from app.encoder.workers import Workers
from app.errors import InvalidInput
from app.models.base import Embedder
from app.settings import BatchSettings, ImageSettings
from app.types import Vectors


@dataclass(frozen=True, slots=True)
class Text:
    """Words that describe a picture."""

    text: str


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The bytes of a picture file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class IndexedPicture:
    """A picture of the index; its vector is there already."""

    image_id: str


@dataclass(frozen=True, slots=True, eq=False)
class RawVector:
    """(D,) float32 of the caller's own, of any length but zero."""

    vector: Vectors


Term: TypeAlias = Text | PictureFile | IndexedPicture | RawVector


class Encoder:
    """Turns terms into vectors that can be compared with those of the index."""

    def __init__(self, embedder: Embedder, batch: BatchSettings, images: ImageSettings, workers: Workers) -> None:
        """`workers` decode picture files; `images` says which are accepted."""
        self.identity = embedder.identity
        self.notice = embedder.notice
        self._embedder = embedder
        self._images = images
        self._workers = workers
        self._batcher = MicroBatcher(embedder, batch)

    @property
    def text_cache(self) -> TextCache:
        return self._batcher.text_cache

    async def start(self) -> None:
        """Accept terms from now on."""
        await self._batcher.start()

    async def stop(self) -> None:
        """Answer the accepted terms and refuse new ones."""
        await self._batcher.stop()

    async def encode(self, term: Term, view: View) -> Vectors:
        """(D,) float32, unit length. `view` is where indexed pictures are looked up.

        Raises InvalidImage, ImageTooLarge, UnsupportedImageType, ImageNotFound, InvalidInput, Overloaded, Unavailable.
        """
        match term:
            case Text(text):
                return await self._batcher.embed_text(text)
            case PictureFile(data):
                picture = await self._workers.run(self._embedder.read_picture, data, self._images)
                return await self._batcher.embed_image(picture.image)
            case IndexedPicture(image_id):
                return await self._workers.run(view.vector, image_id)
            case RawVector(vector):
                return self._checked(vector)

    def _checked(self, vector: Vectors) -> Vectors:
        if vector.shape != (self.identity.dimension,):
            raise InvalidInput(
                f"The vector has the shape {vector.shape}. Vectors of {self.identity.name} have "
                f"{self.identity.dimension} numbers: send as many."
            )
        return unit(vector)


def unit(vector: Vectors) -> Vectors:
    """The vector (D,) at length 1. Raises InvalidInput when it has no length or holds what is not a number."""
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or not length:
        raise InvalidInput("The vector has no direction: it is zero, or holds a value that is not a finite number.")
    unit_vector: Vectors = np.asarray(vector / length, np.float32)
    return unit_vector
