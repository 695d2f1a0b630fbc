"""Picture bytes to an upright RGB image: the one way for uploads and for pictures of the bucket.

When only a small copy is needed, a JPEG is decoded at a half, a quarter or an eighth of its size. This skips most of
the work, because libjpeg then leaves out the fine frequencies of each block.

A picture is shown as browsers show it: upright by EXIF, in sRGB, with a frame of an animation that shows something
(docs/adr/0010-pictures-as-people-see-them.md).
"""

import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias, cast

from PIL import ExifTags, Image, JpegImagePlugin

from app.errors import AppError, ImageTooLarge, InvalidImage, first_line
from app.pictures.colours import needs_transform, to_srgb
from app.pictures.deep_colour import byte_order, stretched
from app.pictures.facts import NO_FACTS, Facts, facts_of
from app.pictures.formats import TIFF, Format, recognise
from app.pictures.frames import first_with_content
from app.pictures.limits import Limits, reserve
from app.pictures.memory import memory_of, memory_to_open
from app.pictures.mending import mended
from app.pictures.structure import plain_jpeg, plain_png

PREPROCESSING_VERSION: Final = 3
"""Part of every fingerprint. Raise it when a change makes the same bytes give other arrays."""

SPARE: Final = 1.5
"""A reduced JPEG keeps at least this many times the needed width and height. A good filter does the rest."""

WORTH_PIXELS: Final = 300_000
"""Pictures with fewer pixels are decoded in full. That takes two milliseconds, so reducing them gains nothing."""

LARGE_PIXELS: Final = 16_000_000
"""Pictures with more pixels are made smaller by means of whole pixels, so that they need not be in memory twice."""

PLENTY_PIXELS: Final = 4_000_000
"""A large picture keeps at least this many pixels for a model that names no size."""

RESULT_BYTES: Final = 11
"""Bytes of a pixel of the result: in RGB, turned (4 each), and sent on (3)."""

MAX_SIDE: Final = 300_000
"""Pixels. No camera and no scanner makes more, and a row takes time and memory of its own."""

Size: TypeAlias = tuple[int, int]
"""Width and height, pixels."""

Needed: TypeAlias = Callable[[Size], Size | None]
"""From the size of a picture to the size in which it will be used; None for its own size."""

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

_SIZE_IN_FILE: Final = "image2search: size in file"
"""Name of an entry in `Image.info`."""

_BROKEN_METADATA: Final = (OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, struct.error)
"""Exceptions that Pillow's EXIF parser raises on damaged blocks."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright RGB image. `width` and `height` are those of the file when upright; the image may be smaller."""

    image: Image.Image
    width: int
    height: int
    flaw: str | None = None
    """What is wrong with the file although the picture can be seen; None for an intact file."""
    facts: Facts = NO_FACTS
    """What the file says about itself, without the perceptual hash."""
    second: Image.Image | None = None
    """The picture in the size of a second model (`app.pictures.two_sizes`)."""


class ReadPicture(Protocol):
    """Reads the picture in a file, as `decode_image` does."""

    def __call__(self, data: bytes, limits: Limits, /) -> Picture: ...


def decode_image(data: bytes, limits: Limits, needed: Needed | None = None) -> Picture:
    """The picture as upright sRGB. Transparent parts get a background, and an animation gives one frame.

    With `needed`, a large picture is decoded smaller than it is, with some pixels to spare.

    Raises `ImageTooLarge` before anything is decoded, because the header tells the size in pixels and the memory that
    it takes. Raises `UnsupportedImageType` for a known format that is not accepted, and `InvalidImage` for anything
    else that is no picture, or less than 98 % of one. Thread-safe.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The picture has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted.")
    source = _Source(recognise(data), limits, needed)
    with _without_pillow_warnings():
        try:
            return source.picture(data)
        except (AppError, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(
                f"The {source.format.name} picture has more pixels than its decoder accepts."
            ) from error
        except Exception as error:
            if picture := source.mended_picture(data):
                return picture
            raise InvalidImage(
                f"The {source.format.name} picture is damaged or cut short ({first_line(error)}). Save or upload it "
                f"again."
            ) from error


@dataclass(frozen=True, slots=True)
class _Source:
    """How a file of this format becomes a picture."""

    format: Format
    limits: Limits
    needed: Needed | None

    def picture(self, data: bytes) -> Picture:
        """Raises AppError, and anything that a decoder raises on damaged bytes."""
        data = self._plain(data)
        image = self._open(data)
        order = byte_order(image)
        image.load()
        facts = facts_of(image, data)
        image = first_with_content(image, self._check_frame)
        if order:
            image = stretched(image, order, lambda: self._open(data))
        return self._finished(image, facts)

    def mended_picture(self, data: bytes) -> Picture | None:
        """The picture in a damaged file; None where too much of it is missing. Raises AppError."""
        try:
            found = mended(self.format.name, data, self._open, replace(self, needed=None)._open)
            return self._finished(found.image, facts_of(found.image, data), found.flaw) if found else None
        except (AppError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - decoders raise anything; the caller tells the first error
            return None

    def _plain(self, data: bytes) -> bytes:
        """The file without parts that cost time or trouble. Raises InvalidImage where they are too many."""
        if self.format.name == "JPEG":
            return plain_jpeg(data)
        return plain_png(data) if self.format.name == "PNG" else data

    def _open(self, data: bytes) -> Image.Image:
        """Read the header and wait for memory. Raises ImageTooLarge."""
        at_once = self.limits.max_memory_bytes if self.format.decodes_at_once else 0
        if to_open := at_once or memory_to_open(self.format.name, data):
            reserve(to_open, self.limits)
        image = self.format.open(io.BytesIO(data))
        self._check_size(image.size)
        for name in ("xmp", "XML:com.adobe.xmp"):
            image.info.pop(name, None)  # Pillow would turn the picture by it, and browsers don't
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            self._reduce(image)
        self._reserve(image)
        return image

    def _reduce(self, image: JpegImagePlugin.JpegImageFile) -> None:
        """Tell Pillow to decode a JPEG at the smallest of 1/2, 1/4 and 1/8 that leaves enough pixels."""
        if image.width * image.height >= WORTH_PIXELS and (target := self._target(image)):
            image.info[_SIZE_IN_FILE] = image.size
            image.draft(None, _with_spare(target))

    def _check_frame(self, image: Image.Image) -> None:
        self._check_size(image.size)
        self._reserve(image)

    def _check_size(self, size: Size) -> None:
        width, height = size
        if width * height > self.limits.max_pixels:
            raise ImageTooLarge(
                f"The picture has {width} x {height} pixels; at most {self.limits.max_pixels:,} are accepted."
            )
        if max(size) > MAX_SIDE:
            raise ImageTooLarge(f"The picture has {width} x {height} pixels; at most {MAX_SIDE:,} on a side.")

    def _reserve(self, image: Image.Image) -> None:
        """Wait for memory for the picture as it is decoded and, in RGB, as it is turned and sent on."""
        result = image.width * image.height // self._factor(image) ** 2
        reserve(memory_of(image, self.format.name) + RESULT_BYTES * result, self.limits)

    def _finished(self, image: Image.Image, facts: Facts, flaw: str | None = None) -> Picture:
        turn = _turn_of(image)
        width, height = _turned(_size_in_file(image), turn)
        rgb = to_srgb(image, self._factor(image))
        rgb.info.clear()  # a copy saved from it must not repeat the orientation that was applied here
        upright = rgb if turn is None else rgb.transpose(turn)
        return Picture(upright, width, height, flaw, replace(facts, format=self.format.name))

    def _factor(self, image: Image.Image) -> int:
        """By how much the picture is made smaller when its colours are converted: the work and memory then shrink."""
        pixels = image.width * image.height
        is_worth_it = pixels > LARGE_PIXELS or (pixels > WORTH_PIXELS and needs_transform(image))
        if self.needed is None or not is_worth_it:
            return 1
        if target := self._target(image):
            width, height = _with_spare(target)
            return max(1, min(image.width // width, image.height // height))
        return max(1, math.isqrt(pixels // PLENTY_PIXELS))

    def _target(self, image: Image.Image) -> Size | None:
        """The size in which the picture will be used, as it lies in the file; None for its own size."""
        turn = None if image.format == "PNG" else _turn_of(image)  # Pillow decodes a PNG before it looks for EXIF
        size = self.needed(_turned(_size_in_file(image), turn)) if self.needed else None
        return size and _turned(size, turn)


def _size_in_file(image: Image.Image) -> Size:
    """The size of the picture in its file; a reduced JPEG has fewer pixels."""
    size: Size = image.info.get(_SIZE_IN_FILE, image.size)
    return size


def _with_spare(size: Size) -> Size:
    return math.ceil(SPARE * size[0]), math.ceil(SPARE * size[1])


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """The turn that makes the picture upright; None when it is upright already. Pillow turns a TIFF itself."""
    if image.format == TIFF.name:
        return None
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN_METADATA:
        return None


def _turned(size: Size, turn: Image.Transpose | None) -> Size:
    return size[::-1] if turn in _LYING else size


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
