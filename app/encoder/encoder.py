"""Terms of a query to vectors, for many callers at once.

A term is a text, a picture file, an indexed picture or a vector. Files are decoded in other processes, and have worker
threads of their own, so that no other term waits for them; texts and pictures then share the model's forward passes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from PIL import Image

from app.catalog.view import View
from app.encoder.batching import MicroBatcher, TextCache
from app.encoder.workers import Workers
from app.errors import InvalidInput
from app.models.base import Embedder
from app.pictures.decoding import Picture
from app.pictures.processes import Decoders
from app.settings import BatchSettings, ImageSettings
from app.types import Vectors

if TYPE_CHECKING:
    from _typeshed import SupportsRead


@dataclass(frozen=True, slots=True)
class Text:
    """Words that describe a picture."""

    text: str


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file: its bytes, or the open file, which is read when the picture's turn comes."""

    content: "bytes | SupportsRead[bytes]"

    def read(self, max_bytes: int) -> bytes:
        """The bytes, of an open file at most one more than `max_bytes`."""
        return self.content if isinstance(self.content, bytes) else self.content.read(max_bytes + 1)


@dataclass(frozen=True, slots=True)
class IndexedPicture:
    """A picture of the index; its vector is there already."""

    image_id: str


@dataclass(frozen=True, slots=True, eq=False)
class RawVector:
    """(D,) float32 of the caller's own, of any length but zero."""

    vector: Vectors


WARM_UP_COUNTS: Final = (*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32)
WARM_UP_WORDS: Final = (6, 10, 14, 18, 22)
"""With the marks for begin and end: 8 to 24 tokens. Few people type more."""

Term: TypeAlias = Text | PictureFile | IndexedPicture | RawVector


class Encoder:
    """Turns terms into vectors that can be compared with those of the index."""

    def __init__(
        self,
        embedder: Embedder,
        batch: BatchSettings,
        images: ImageSettings,
        workers: Workers,
        *,
        decoding: Workers,
        decoders: Decoders,
    ) -> None:
        """`decoding` are the threads that wait for `decoders`; `images` says which files are accepted."""
        self.identity = embedder.identity
        self.notice = embedder.notice
        self._embedder = embedder
        self._images = images
        self._workers = workers
        self._decoding = decoding
        self._decoders = decoders
        self._batcher = MicroBatcher(embedder, batch)
        self._max_size = batch.max_size
        self.batch_size = min(batch.max_size, batch.max_queue)
        """Terms that one request may let embed at the same time. More would wait for each other."""
        self._warming: asyncio.Task[None] | None = None

    @property
    def text_cache(self) -> TextCache:
        return self._batcher.text_cache

    async def start(self, *, warm_up: bool = False) -> None:
        """Accept terms from now on. With `warm_up` an int8 model makes its kernels now, and not during requests."""
        await self._batcher.start()
        if warm_up and self.identity.precision == "int8":
            self._warming = asyncio.create_task(self._batcher.warm_up(warm_up_texts(self._max_size)), name="warm-up")

    async def stop(self) -> None:
        """Answer the accepted terms and refuse new ones."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        await self._batcher.stop()

    async def encode(self, term: Term, view: View) -> Vectors:
        """(D,) float32, unit length. `view` is where indexed pictures are looked up.

        Raises InvalidImage, ImageTooLarge, UnsupportedImageType, ImageNotFound, InvalidInput, Overloaded, Unavailable.
        """
        match term:
            case Text() | PictureFile():
                return await self.embed(term)
            case IndexedPicture(image_id):
                return await self._workers.run(view.vector, image_id)
            case RawVector(vector):
                return self._checked(vector)

    async def embed(self, term: Text | PictureFile) -> Vectors:
        """As `encode`, for what needs no index."""
        match term:
            case Text(text):
                return await self._batcher.embed_text(text)
            case PictureFile() as file:
                return (await self.read(file))[1]

    async def embed_texts(self, texts: Sequence[str]) -> list[Vectors]:
        """As `MicroBatcher.embed_texts`."""
        return await self._batcher.embed_texts(texts)

    async def embed_images(self, images: Sequence[Image.Image]) -> list[Vectors]:
        """As `MicroBatcher.embed_images`."""
        return await self._batcher.embed_images(images)

    @property
    def has_patches(self) -> bool:
        """As `Embedder.has_patches`."""
        return self._embedder.has_patches

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """As `Embedder.count_tokens`. Raises Overloaded."""
        return await self._workers.run(self._embedder.count_tokens, texts)

    async def read(self, file: PictureFile) -> tuple[Picture, Vectors]:
        """The picture in a file, checked and decoded, and its vector (D,). Raises as `encode`."""
        picture = await self._decoding.run(self._decode, file)
        return picture, await self._batcher.embed_image(picture.image)

    def _decode(self, file: PictureFile) -> Picture:
        return self._decoders.run(self._embedder.read_picture, file.read(self._images.max_bytes), self._images)

    def _checked(self, vector: Vectors) -> Vectors:
        if vector.shape != (self.identity.dimension,):
            raise InvalidInput(
                f"The vector has the shape {vector.shape}. Vectors of {self.identity.name} have "
                f"{self.identity.dimension} numbers: send as many."
            )
        return unit(vector)


def warm_up_texts(max_size: int) -> Iterator[list[str]]:
    """Batches of texts in the usual shapes of int8 passes (`app.models.openvino.towers.COUNTS` and `LENGTHS`)."""
    for count in WARM_UP_COUNTS:
        if count <= max_size:
            yield from (["a " * words] * count for words in WARM_UP_WORDS)


def unit(vector: Vectors) -> Vectors:
    """The vector (D,) at length 1. Raises InvalidInput when it has no length or holds what is not a number."""
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or not length:
        raise InvalidInput("The vector has no direction: it is zero, or holds a value that is not a finite number.")
    unit_vector: Vectors = np.asarray(vector / length, np.float32)
    return unit_vector
