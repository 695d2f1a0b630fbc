"""Which frame of an animation stands for it: the first that is not one flat colour."""

from collections.abc import Callable
from typing import Final

from PIL import Image

MAX_FRAMES: Final = 40
"""Frames that are tried. A film that fades in is visible by then, and each frame costs a decoding."""

SAMPLE_SIDE: Final = 16

FLAT: Final = 4
"""Values (of 255) that differ by less are one colour. Lossy formats never give exactly one."""


def first_with_content(image: Image.Image, check: Callable[[Image.Image], None]) -> Image.Image:
    """The picture at its first frame that shows something; as it is when all frames are flat.

    `check` is called before a frame is decoded, and raises where that would cost too much.
    """
    if not getattr(image, "is_animated", False) or not _is_flat(image):
        return image
    size, pixel = image.size, image.crop((0, 0, 1, 1))
    for number in range(1, MAX_FRAMES):
        try:
            image.seek(number)
            check(image)
            image.load()
        except Exception:  # noqa: BLE001 - no more frames, or a damaged one: the first is still a picture
            break
        if not _is_flat(image):
            return image
    return pixel.resize(size)


def _is_flat(image: Image.Image) -> bool:
    """Decided on a few pixels first: nearly every picture fails there."""
    side = min(image.width, SAMPLE_SIDE), min(image.height, SAMPLE_SIDE)
    return _is_one_colour(image.resize(side, Image.Resampling.NEAREST)) and _is_one_colour(image)


def _is_one_colour(image: Image.Image) -> bool:
    extrema = image.getextrema()
    ranges = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(high - low < (1 if image.mode == "P" else FLAT) for low, high in ranges)
