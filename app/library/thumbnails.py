"""Small WebP copies of the pictures, made when first asked for and kept in the bucket.

Each one carries the etag of the picture it was made from in its EXIF block, so that it is known to be stale without
any other record; deleting them all loses nothing.
"""

import logging

from app.catalog.layout import THUMBNAIL_PREFIX
from app.errors import ImageNotFound, InvalidInput, ObjectNotFound, StorageUnavailable
from app.pictures.resized import resized_copy, source_etag_of
from app.settings import ImageSettings
from app.storage.base import ObjectStore
from app.types import ImageRecord

log = logging.getLogger(__name__)

MAX_SIDE = 256
"""Pixels."""


def thumbnail_key(image_id: str) -> str:
    return f"{THUMBNAIL_PREFIX}{image_id}.webp"


class Thumbnails:
    """Makes, keeps and finds them again."""

    def __init__(self, store: ObjectStore, images: ImageSettings) -> None:
        self._store = store
        self._images = images

    def get(self, record: ImageRecord) -> bytes:
        """WebP bytes of the picture as it is in the bucket. Raises ObjectNotFound, ImageNotFound."""
        return self._kept(record) or self._make(record)

    def _kept(self, record: ImageRecord) -> bytes | None:
        try:
            data = self._store.get(thumbnail_key(record.image_id)).data
        except ObjectNotFound:
            return None
        return data if source_etag_of(data) == record.etag else None

    def _make(self, record: ImageRecord) -> bytes:
        original = self._store.get(record.object_key)
        try:
            data = resized_copy(original.data, self._images, max_side=MAX_SIDE, source_etag=original.etag)
        except InvalidInput as error:
            raise ImageNotFound(f"The picture {record.object_key} can't be read any more: {error}") from error
        self._keep(record.image_id, data)
        return data

    def _keep(self, image_id: str, data: bytes) -> None:
        """A bucket that can't be written to costs the work again next time, nothing else."""
        try:
            self._store.put(thumbnail_key(image_id), data, content_type="image/webp")
        except StorageUnavailable as error:
            log.warning("A thumbnail could not be kept: %s", error)
