"""How much memory the decoding of a picture takes, from its header. Measured with Pillow 13 and its libraries."""

import math
from typing import Final

from PIL import Image, JpegImagePlugin

_BYTES: Final = {"1": 1, "L": 1, "P": 1}
"""Bytes of a pixel in Pillow's memory, by mode. All others take four, and 16-bit grey takes two."""

ROW_BYTES: Final = 16
"""What Pillow keeps for each row beside its pixels."""

_EXTRA: Final = {"GIF": 5, "WebP": 12, "AVIF": 8, "HEIC": 8, "JPEG 2000": 16, "JPEG XL": 8}
"""Bytes of a pixel that the libraries of these formats take beside Pillow's own copy."""


def memory_to_open(format_name: str, data: bytes) -> int:
    """Bytes that it takes to read the header: libwebp makes room for the pixels then."""
    return _webp_pixels(data) * 8 if format_name == "WebP" else 0


def _webp_pixels(data: bytes) -> int:
    """As the first chunk says; 0 where it can't be read (RFC 9649, 2.5 to 2.7)."""
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return 0
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[start : start + 3], "little") for start in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(head[start : start + 2], "little") & 0x3FFF for start in (6, 8))
    return width * height


def memory_of(image: Image.Image, format_name: str) -> int:
    """Bytes at the peak, for a picture whose header was read. The picture in RGB that is made of it is not counted."""
    pixels = image.width * image.height
    own = pixels * _bytes_of(image.mode) + image.height * ROW_BYTES
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return own + _jpeg_coefficients(image)
    if format_name == "TIFF":
        return own + _tiff_strip(image)
    return own + pixels * _EXTRA.get(format_name, 0)


def _bytes_of(mode: str) -> int:
    return 2 if mode.startswith("I;16") else _BYTES.get(mode, 4)


def _jpeg_coefficients(image: JpegImagePlugin.JpegImageFile) -> int:
    """A progressive JPEG is kept whole as 16-bit coefficients, also where a small copy is wanted."""
    if not image.info.get("progressive"):
        return 0
    (width, height), components = _size_in_file(image), image.layer
    widest, highest = max(each[1] for each in components), max(each[2] for each in components)
    share = sum(each[1] * each[2] for each in components) / (widest * highest)
    return math.ceil(2 * width * height * share)


def _size_in_file(image: JpegImagePlugin.JpegImageFile) -> tuple[int, int]:
    scale = image.decoderconfig[0] if image.decoderconfig else 1
    return image.width * scale, image.height * scale


def _tiff_strip(image: Image.Image) -> int:
    """The libraries unpack one strip or tile at a time; some files have a single strip."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    samples = int(tags.get(277, 1))
    bits = tags.get(258, (8,))
    depth = max(bits) if isinstance(bits, tuple) else int(bits)
    width = int(tags.get(322, image.width))
    height = int(tags.get(323, 0)) or min(int(tags.get(278, image.height)), image.height)
    return math.ceil(width * height * samples * depth / 8)
