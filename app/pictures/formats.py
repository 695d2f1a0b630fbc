"""The formats of picture files: which are accepted, and how a file is recognised by its first bytes and its name."""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from app.errors import InvalidImage, UnsupportedImageType


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is accepted."""

    name: str
    """As Pillow spells it."""
    magic: re.Pattern[bytes]
    """Matches the first bytes of a file."""
    open: Callable[[io.BytesIO], ImageFile.ImageFile]
    """Reads the header. Pixels are not decoded yet."""
    suffixes: tuple[str, ...]
    """The ends of file names, in lower case."""


FORMATS: Final = (
    Format("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile, (".png",)),
    Format("JPEG", re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile, (".jpg", ".jpeg")),
    Format("GIF", re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile, (".gif",)),
    Format("BMP", re.compile(rb"BM"), BmpImagePlugin.BmpImageFile, (".bmp",)),
    Format("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]|MM\*\0|II\0\*"), TiffImagePlugin.TiffImageFile, (".tif", ".tiff")),
    Format("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile, (".webp",)),
)

PICTURE_SUFFIXES: Final = tuple(suffix for each in FORMATS for suffix in each.suffixes)
"""A file whose name ends like this is taken for a picture."""

REMEDY: Final = "Send PNG, JPEG, GIF, BMP, TIFF or WebP."

_UNSUPPORTED: Final[Mapping[str, re.Pattern[bytes]]] = {
    "PDF": re.compile(rb"\s*%PDF-"),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "HEIC": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "video": re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL),
    "SVG": re.compile(rb"(\xef\xbb\xbf)?\s*(<svg|<!DOCTYPE svg|<\?xml.{0,900}?<svg)", re.DOTALL | re.IGNORECASE),
    "Photoshop": re.compile(rb"8BPS\0"),
    "PostScript": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"),
    "icon": re.compile(rb"\0\0[\x01\x02]\0[^\0]\0"),
}
"""Formats that users try, by their first bytes, so that the error can name them."""


def recognise(data: bytes) -> Format:
    """The format of a picture file, by its first bytes.

    Raises `UnsupportedImageType` for a known format that is not accepted, and `InvalidImage` for other bytes.
    """
    for accepted in FORMATS:
        if accepted.magic.match(data):
            return accepted
    for name, magic in _UNSUPPORTED.items():
        if magic.match(data):
            raise UnsupportedImageType(f"This is a file of kind {name}, which isn't supported. {REMEDY}")
    raise InvalidImage(f"{'These bytes are' if data else 'The file is empty:'} no picture. {REMEDY}")
