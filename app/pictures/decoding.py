"""Picture bytes to an upright RGB image: the one way for uploads and for pictures of the bucket.

When only a small copy is needed, a JPEG is decoded at a half, a quarter or an eighth of its size. This skips most of
the work, because libjpeg then leaves out the fine frequencies of each block.
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
from PIL import ExifTags, Image, ImageFile

from app.errors import ImageTooLarge, InvalidImage, first_line
from app.pictures.formats import recognise
from app.settings import ImageSettings

PREPROCESSING_VERSION: Final = 2
"""Part of every fingerprint. Raise it when a change makes the same bytes give other arrays."""

SPARE: Final = 1.5
"""A reduced JPEG keeps at least this many times the needed width and height. A good filter does the rest."""

WORTH_PIXELS: Final = 300_000
"""Pictures with fewer pixels are decoded in full. That takes two milliseconds, so reducing them gains nothing."""

Size: TypeAlias = tuple[int, int]
"""Width and height, pixels."""

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
"""The turns that swap width and height."""

_BROKEN_METADATA: Final = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, struct.error)
"""Exceptions that Pillow's EXIF parser raises on damaged blocks."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright RGB image. `width` and `height` are those of the file when upright; the image may be smaller."""

    image: Image.Image
    width: int
    height: int


def decode_image(data: bytes, limits: ImageSettings, needed: Callable[[Size], Size | None] | None = None) -> Picture:
    """The picture as upright RGB. Transparent parts become white, and of an animation the first frame is taken.

    `needed` gets the size of the picture and returns the size in which it will be used, or None for its own size. A
    JPEG is then decoded no larger than that, with some pixels to spare. Without `needed` the picture comes in full.

    Raises `ImageTooLarge` before anything is decoded, because the header tells the size in pixels. Raises
    `UnsupportedImageType` for a known format that is not accepted, and `InvalidImage` for anything else that is no
    intact picture. Thread-safe.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The picture has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted.")
    kind = recognise(data)
    with _without_pillow_warnings():
        try:
            image = kind.open(io.BytesIO(data))
            _check_pixels(image.size, limits.max_pixels)
            size = image.size
            if kind.name == "JPEG" and needed:
                _reduce(image, needed)
            image.load()
            turn = _turn_of(image)
            upright = image if turn is None else image.transpose(turn)
            return Picture(_to_rgb(upright), *_turned(size, turn))
        except ImageTooLarge:
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"The {kind.name} picture has more pixels than the decoder accepts.") from error
        except MemoryError:
            raise
        except Exception as error:
            raise InvalidImage(
                f"The {kind.name} picture is damaged or cut short ({first_line(error)}). Save or upload it again."
            ) from error


def _check_pixels(size: Size, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(f"The picture has {width} x {height} pixels; at most {max_pixels:,} are accepted.")


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """The turn that makes the picture upright; None when it is upright already."""
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN_METADATA:
        return None


def _turned(size: Size, turn: Image.Transpose | None) -> Size:
    return size[::-1] if turn in _LYING else size


def _reduce(image: ImageFile.ImageFile, needed: Callable[[Size], Size | None]) -> None:
    """Tell Pillow to decode a JPEG at the smallest of 1/2, 1/4 and 1/8 that leaves enough pixels."""
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
    rgb.info.clear()  # a copy saved from it must not repeat the orientation that was applied here
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Greyscale with 16 or 32 bits or floats, scaled to 0 to 255 by `_value_range`."""
    values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = _value_range(image.mode, float(values.min()), float(values.max()))
    scaled = (values - low) * (255.0 / (high - low))
    return Image.fromarray(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8))


def _value_range(mode: str, lowest: float, highest: float) -> tuple[float, float]:
    """The values of black and white, guessed from the smallest convention that holds all values of the picture."""
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    if lowest < 0:
        return lowest, max(highest, lowest + 1)
    conventions = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return 0.0, next((white for white in conventions if highest <= white), highest)


_IGNORE_PILLOW: Final = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Hide Pillow's warnings about odd files while a picture is read. Warnings of other modules pass.

    `warnings.catch_warnings` replaces the filters of the whole process, so it is not thread-safe. Here each thread
    adds one filter of its own and removes one filter like it.
    """
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, _IGNORE_PILLOW)
    try:
        yield
    finally:
        filters.remove(_IGNORE_PILLOW)
