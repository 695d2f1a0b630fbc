"""Colour pictures with 16 bits a channel that use only the lower 10, 12 or 14 of them.

Pillow keeps the upper byte of such a channel, which leaves a nearly black picture. Here the lower byte is decoded too.
"""

from collections.abc import Callable
from typing import Any, Final

from PIL import Image, ImageFile

MOST_OF_14_BITS: Final = 0x3F
"""The upper byte of the largest 14-bit value."""

_OTHER_BYTE: Final = {"16B": "16L", "16L": "16B", "16N": "16B"}
"""Pillow's names of byte orders. In the other order, what it takes for the upper byte is the lower one.

`N` is the order of this machine, which is taken to be little-endian."""

_MODES: Final = ("RGB", "RGBA", "RGBX", "LA", "CMYK")


def byte_order(image: Image.Image) -> str:
    """`16B`, `16L` or `16N` for a colour picture of 16 bits a channel that is not decoded yet; else empty."""
    if image.mode not in _MODES or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    arguments = image.tile[0].args
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    order = str(raw_mode).rpartition(";")[2]
    return order if order in _OTHER_BYTE else ""


def stretched(upper: Image.Image, order: str, open_again: Callable[[], Image.Image]) -> Image.Image:
    """The picture by its real range, if its values are of 14 bits or fewer; otherwise `upper` itself.

    `upper` is the decoded picture, of which Pillow kept the upper bytes. `order` is its `byte_order`.
    """
    bands = upper.split()
    colours = bands[: len(bands) - (upper.mode in ("RGBA", "LA"))]
    highest = max(_highest(band) for band in colours)
    if highest > MOST_OF_14_BITS:
        return upper
    lower = open_again()
    _swap_bytes(lower, order)
    lower.load()
    shift = 8 - highest.bit_length()
    merged = [_joined(high, low, shift) for high, low in zip(colours, lower.split(), strict=False)]
    return Image.merge(upper.mode, [*merged, *bands[len(colours) :]])


def _highest(band: Image.Image) -> int:
    return max(value for value, count in enumerate(band.histogram()) if count)


def _joined(high: Image.Image, low: Image.Image, shift: int) -> Image.Image:
    """The eight highest bits that are used: `shift` fewer than all 16."""
    import numpy as np

    values = np.asarray(high, np.uint16) << 8 | np.asarray(low, np.uint16)
    return Image.fromarray((values >> (8 - shift)).astype(np.uint8))


def _swap_bytes(image: Image.Image, order: str) -> None:
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [tile._replace(args=_renamed(tile.args, order)) for tile in image.tile]


def _renamed(arguments: Any, order: str) -> Any:
    if isinstance(arguments, tuple):
        return (_renamed(arguments[0], order), *arguments[1:])
    return str(arguments).replace(f";{order}", f";{_OTHER_BYTE[order]}")
