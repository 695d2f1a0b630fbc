"""Picture bytes to an upright RGB image, the one way in for uploads and for the bucket.

Where only a small copy is needed, a JPEG is decoded at a half, a quarter or an eighth of its size, which skips most of
the work: libjpeg then leaves out the fine frequencies of each block.
"""

import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from app.errors import ImageTooLarge, InvalidImage, UnsupportedImageType
from app.settings import ImageSettings

PREPROCESSING_VERSION: Final = 2
"""Part of every fingerprint: raise it when the same bytes begin to give other arrays."""

SPARE: Final = 1.5
"""A reduced JPEG keeps at least so many times the width and height needed; the rest is resized with care."""

WORTH_PIXELS: Final = 300_000
"""Smaller pictures are decoded in full, which takes two milliseconds: reducing them gains nothing."""

Size: TypeAlias = tuple[int, int]
"""Width and height, pixels."""

_OPENERS: Final[Mapping[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

_SUPPORTED: Final[Mapping[str, re.Pattern[bytes]]] = {
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]|MM\*\0|II\0\*"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
}

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

_UPRIGHT: Final[Mapping[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the value of EXIF's orientation tag, 0x0112 (CIPA DC-008, 4.6.4)."""

_LYING: Final = frozenset(turn for orientation, turn in _UPRIGHT.items() if orientation >= 5)
"""Those that swap width and height."""

_BROKEN_METADATA: Final = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, struct.error)
"""What Pillow's EXIF parser is seen to raise on damaged blocks."""


@dataclass(frozen=True, slots=True)
class Picture:
    """RGB and upright, perhaps smaller than its file, with the size that the file has when upright."""

    image: Image.Image
    width: int
    height: int


def decode_image(data: bytes, limits: ImageSettings, needed: Callable[[Size], Size | None] | None = None) -> Picture:
    """The picture as RGB, upright, on white where it was transparent; the first frame of an animation. Thread-safe.

    `needed` says at what size a picture of a given one will be looked at, None if at its own: more is not decoded of a
    JPEG, with some to spare. Without it the picture comes in full.

    Raises `ImageTooLarge` (the size in pixels is read from the header, nothing is decoded), `UnsupportedImageType`
    for a known kind of file that isn't among PNG, JPEG, GIF, BMP, TIFF and WebP, and `InvalidImage` for all else.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The picture has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted.")
    kind = _recognise(data)
    with _without_pillow_warnings():
        try:
            image = _OPENERS[kind](io.BytesIO(data))
            _check_pixels(image.size, limits.max_pixels)
            size = image.size
            if kind == "JPEG" and needed:
                _reduce(image, needed)
            image.load()
            turn = _turn_of(image)
            upright = image if turn is None else image.transpose(turn)
            return Picture(_to_rgb(upright), *_turned(size, turn))
        except ImageTooLarge:
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"The {kind} picture has more pixels than the decoder accepts.") from error
        except MemoryError:
            raise
        except Exception as error:
            raise InvalidImage(
                f"The {kind} picture is damaged or cut short ({_first_line(error)}). Save or upload it again."
            ) from error


def _recognise(data: bytes) -> str:
    for kind, magic in _SUPPORTED.items():
        if magic.match(data):
            return kind
    accepted = "Send PNG, JPEG, GIF, BMP, TIFF or WebP."
    for kind, magic in _UNSUPPORTED.items():
        if magic.match(data):
            raise UnsupportedImageType(f"This is a file of kind {kind}, which isn't supported. {accepted}")
    raise InvalidImage(f"{'These bytes are' if data else 'The file is empty:'} no picture. {accepted}")


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(f"The picture has {width} x {height} pixels; at most {max_pixels:,} are accepted.")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright."""
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN_METADATA:
        return None


def _turned(size: Size, turn: Image.Transpose | None) -> Size:
    return size[::-1] if turn in _LYING else size


def _reduce(image: ImageFile.ImageFile, needed: Callable[[Size], Size | None]) -> None:
    """Have a JPEG decoded smaller: by 2, 4 or 8, whichever still leaves enough."""
    if image.width * image.height < WORTH_PIXELS:
        return
    turn = _turn_of(image)
    enough = needed(_turned(image.size, turn))
    if enough is not None:
        width, height = _turned(enough, turn)
        image.draft(None, (math.ceil(SPARE * width), math.ceil(SPARE * height)))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = _on_white(image)
    rgb = image.convert("RGB")
    rgb.info.clear()  # what is saved from it later must not carry an orientation that has been applied
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits, or of floats, spread over 0 to 255 by the range that the values suggest."""
    values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = _value_range(image.mode, float(values.min()), float(values.max()))
    scaled = (values - low) * (255.0 / (high - low))
    return Image.fromarray(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8))


def _value_range(mode: str, lowest: float, highest: float) -> tuple[float, float]:
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    if lowest < 0:
        return lowest, max(highest, lowest + 1)
    conventions = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return 0.0, next((white for white in conventions if highest <= white), highest)


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Drop Pillow's remarks about odd files while one is read; warnings of all other modules pass, in every thread.

    `warnings.catch_warnings` would swap the whole process's filters and is not thread-safe: here each reader puts
    in one entry of its own and takes one such entry out.
    """
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, _IGNORE_PILLOW)
    try:
        yield
    finally:
        filters.remove(_IGNORE_PILLOW)


_IGNORE_PILLOW: Final = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
