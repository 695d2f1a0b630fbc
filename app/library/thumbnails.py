"""WebP copies of the pictures in two sizes, made when first asked for and kept in the bucket.

Each one carries the etag of the picture it was made from in its EXIF block, so that it is known to be stale without
any other record; deleting them all loses nothing. Colours are sRGB, as `decode_image` makes them.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from app.catalog.layout import THUMBNAIL_PREFIX
from app.errors import AppError, ImageNotFound, InvalidInput, ObjectNotFound, ObjectTooLarge, StorageUnavailable
from app.pictures.processes import Decoders, InThisProcess
from app.pictures.resized import resized_copy, source_etag_of
from app.settings import ImageSettings
from app.storage.base import ObjectStore, StoredObject
from app.types import ImageRecord, image_id_of

log = logging.getLogger(__name__)

ThumbnailSize: TypeAlias = Literal["small", "large"]

MAX_SIDES: Final[Mapping[ThumbnailSize, int]] = {"small": 256, "large": 1024}
"""Longest side, pixels: for a grid of pictures, and for one picture on a screen."""


def thumbnail_key(image_id: str, size: ThumbnailSize = "small") -> str:
    return f"{THUMBNAIL_PREFIX}{image_id}{'' if size == 'small' else f'-{size}'}.webp"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """WebP bytes."""

    data: bytes
    source_etag: str
    """Of the picture that it was made from, which may be newer than the index."""


class Thumbnails:
    """Makes, keeps and finds them again."""

    def __init__(
        self,
        store: ObjectStore,
        images: ImageSettings,
        kept_in: ObjectStore | None = None,
        decoders: Decoders | None = None,
    ) -> None:
        """`store` has the pictures, `kept_in` the thumbnails; None: they lie with the pictures."""
        self._store = store
        self._kept_in = kept_in or store
        self._images = images
        self._decoders = decoders or InThisProcess()

    def kept(self, record: ImageRecord, size: ThumbnailSize = "small") -> Thumbnail | None:
        """The thumbnail of the picture as it was indexed, if there is one."""
        try:
            data = self._kept_in.get(thumbnail_key(record.image_id, size)).data
        except ObjectNotFound:
            return None
        return Thumbnail(data, record.etag) if source_etag_of(data) == record.etag else None

    def make(self, record: ImageRecord, size: ThumbnailSize = "small") -> Thumbnail:
        """A thumbnail of the picture as it is in the bucket. Raises ObjectNotFound, ImageNotFound, Unavailable."""
        original = self._original(record.object_key)
        try:
            return self._made_of(original, record.image_id, size)
        except InvalidInput as error:
            raise ImageNotFound(f"The picture {record.object_key} can't be read any more: {error}") from error

    def make_ahead(self, object_key: str, original: StoredObject) -> None:
        """The small thumbnail of a picture that was read for another reason. Without it, no error: it is made later."""
        with suppress(AppError):
            self._made_of(original, image_id_of(object_key), "small")

    def _made_of(self, original: StoredObject, image_id: str, size: ThumbnailSize) -> Thumbnail:
        """Raises InvalidInput, Unavailable."""
        copy = partial(resized_copy, max_side=MAX_SIDES[size], source_etag=original.etag)
        data = self._decoders.run(copy, original.data, self._images)
        self._keep(thumbnail_key(image_id, size), data)
        return Thumbnail(data, original.etag)

    def remove(self, image_id: str) -> None:
        """Delete the thumbnails of a picture, if there are any. Raises StorageUnavailable."""
        for size in MAX_SIDES:
            self._kept_in.delete(thumbnail_key(image_id, size))

    def _original(self, key: str) -> StoredObject:
        """Raises ImageNotFound when the object has grown beyond the limit since it was indexed."""
        try:
            return self._store.get(key, max_bytes=self._images.max_bytes)
        except ObjectTooLarge as error:
            raise ImageNotFound(
                f"The picture {key} can't be read any more: it has grown. {error} IMAGE_MAX_BYTES allows no more."
            ) from error

    def _keep(self, key: str, data: bytes) -> None:
        """A bucket that can't be written to costs the work again next time, nothing else."""
        try:
            self._kept_in.put(key, data, content_type="image/webp")
        except StorageUnavailable as error:
            log.warning("A thumbnail could not be kept: %s", error)
