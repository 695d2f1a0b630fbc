"""Small WebP copies of the pictures, made when first asked for and kept in the bucket.

Each one carries the etag of the picture it was made from in its EXIF block, so that it is known to be stale without
any other record; deleting them all loses nothing.
"""

import logging
from functools import partial

from app.catalog.layout import THUMBNAIL_PREFIX
from app.errors import ImageNotFound, InvalidInput, ObjectNotFound, ObjectTooLarge, StorageUnavailable
from app.pictures.processes import Decoders, InThisProcess
from app.pictures.resized import resized_copy, source_etag_of
from app.settings import ImageSettings
from app.storage.base import ObjectStore, StoredObject
from app.types import ImageRecord

log = logging.getLogger(__name__)

MAX_SIDE = 256
"""Pixels."""


def thumbnail_key(image_id: str) -> str:
    return f"{THUMBNAIL_PREFIX}{image_id}.webp"


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

    def kept(self, record: ImageRecord) -> bytes | None:
        """The thumbnail of the picture as it was indexed, if there is one."""
        try:
            data = self._kept_in.get(thumbnail_key(record.image_id)).data
        except ObjectNotFound:
            return None
        return data if source_etag_of(data) == record.etag else None

    def make(self, record: ImageRecord) -> bytes:
        """A thumbnail of the picture as it is in the bucket. Raises ObjectNotFound, ImageNotFound, Unavailable."""
        original = self._original(record.object_key)
        copy = partial(resized_copy, max_side=MAX_SIDE, source_etag=original.etag)
        try:
            data = self._decoders.run(copy, original.data, self._images)
        except InvalidInput as error:
            raise ImageNotFound(f"The picture {record.object_key} can't be read any more: {error}") from error
        self._keep(record.image_id, data)
        return data

    def _original(self, key: str) -> StoredObject:
        """Raises ImageNotFound when the object has grown beyond the limit since it was indexed."""
        try:
            return self._store.get(key, max_bytes=self._images.max_bytes)
        except ObjectTooLarge as error:
            raise ImageNotFound(
                f"The picture {key} can't be read any more: it has grown. {error} IMAGE_MAX_BYTES allows no more."
            ) from error

    def _keep(self, image_id: str, data: bytes) -> None:
        """A bucket that can't be written to costs the work again next time, nothing else."""
        try:
            self._kept_in.put(thumbnail_key(image_id), data, content_type="image/webp")
        except StorageUnavailable as error:
            log.warning("A thumbnail could not be kept: %s", error)
