"""Small WebP copies of the pictures, made when first asked for and kept in the bucket.

Each one carries the etag of the picture it was made from in its EXIF block, so that it is known to be stale without
any other record; deleting them all loses nothing.
"""

import io
import logging

from PIL import ExifTags, Image, UnidentifiedImageError

from app.catalog.layout import THUMBNAIL_PREFIX
from app.errors import ImageNotFound, InvalidInput, ObjectNotFound, StorageUnavailable
from app.pictures.decoding import Size, decode_image
from app.settings import ImageSettings
from app.storage.base import ObjectStore
from app.types import ImageRecord

log = logging.getLogger(__name__)

MAX_SIDE = 256
"""Pixels."""

QUALITY = 80
"""WebP's scale: 0 to 100."""


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
        return data if _source_etag(data) == record.etag else None

    def _make(self, record: ImageRecord) -> bytes:
        original = self._store.get(record.object_key)
        try:
            image = decode_image(original.data, self._images, _size_in_box).image
        except InvalidInput as error:
            raise ImageNotFound(f"The picture {record.object_key} can't be read any more: {error}") from error
        data = _shrink(image, original.etag)
        self._keep(record.image_id, data)
        return data

    def _keep(self, image_id: str, data: bytes) -> None:
        """A bucket that can't be written to costs the work again next time, nothing else."""
        try:
            self._store.put(thumbnail_key(image_id), data, content_type="image/webp")
        except StorageUnavailable as error:
            log.warning("A thumbnail could not be kept: %s", error)


def _size_in_box(size: Size) -> Size:
    scale = MAX_SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrink(image: Image.Image, etag: str) -> bytes:
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = etag
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, exif=exif)
    return buffer.getvalue()


def _source_etag(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            return image.getexif().get(ExifTags.Base.ImageDescription)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
