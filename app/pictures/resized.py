"""Smaller copies of pictures: WebP that carries the etag of its source, which tells whether it is still current; and
files in their own formats.
"""

import io
from typing import Literal, TypeAlias

from PIL import ExifTags, Image, UnidentifiedImageError

from app.pictures.decoding import Size, decode_image
from app.pictures.limits import Limits

QUALITY = 80
"""WebP's scale: 0 to 100."""


def resized_copy(data: bytes, limits: Limits, *, max_side: int, source_etag: str) -> bytes:
    """A picture file as WebP with no side longer than `max_side` pixels. A smaller picture keeps its size.

    `source_etag` is kept in the copy's EXIF block, for `source_etag_of`. Raises as `decode_image`.
    """
    image = decode_image(data, limits, lambda size: _size_in_box(size, max_side)).image
    image.thumbnail((max_side, max_side))
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = source_etag
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, exif=exif)
    return buffer.getvalue()


CopyFormat: TypeAlias = Literal["JPEG", "PNG", "WEBP"]


def resized_file(data: bytes, limits: Limits, *, max_side: int, kind: CopyFormat, quality: int) -> bytes:
    """A picture file, upright in sRGB and without metadata, with no side longer than `max_side` pixels.

    A smaller picture keeps its size. `quality` is JPEG's and WebP's scale, 0 to 100. Raises as `decode_image`.
    """
    image = decode_image(data, limits, lambda size: _size_in_box(size, max_side)).image
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, kind, **({} if kind == "PNG" else {"quality": quality}))
    return buffer.getvalue()


def source_etag_of(copy: bytes) -> str | None:
    """The etag that `resized_copy` wrote; None when the bytes are no such copy."""
    try:
        with Image.open(io.BytesIO(copy), formats=["WEBP"]) as image:
            return image.getexif().get(ExifTags.Base.ImageDescription)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None


def _size_in_box(size: Size, max_side: int) -> Size:
    """The size in a square box of `max_side`, for pictures larger and smaller than the box."""
    scale = max_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
