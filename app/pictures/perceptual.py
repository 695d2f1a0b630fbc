"""How a picture looks, in bits: near for copies that were resized, brightened, cropped or framed, far for all others.

A hash has two or three parts of 256 bits: of the whole picture, of its centre, and of what lies inside its frame, where
it has one. A cropped copy's whole is the original's centre; a framed copy's inside is the original's whole.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

SIDE: Final = 16
"""A part has the square of this in bits."""

OVERSAMPLED: Final = 4
"""The picture is reduced to this times SIDE before its frequencies are looked at."""

MARGIN: Final = 0.05
"""Share of the width and height that the centre leaves out at each side."""

FLATNESS: Final = 3.0
"""A row of one colour differs from it by this on average at most, of 255: a compressed frame does, a wall does not."""

PARTS: Final = 3
PART_BYTES: Final = SIDE * SIDE // 8

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels."""

Hashes: TypeAlias = NDArray[np.uint8]
"""(N, PARTS, PART_BYTES): the whole, the centre, the inside. Without a frame the inside is the whole."""

Bits: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def perceptual_hash(image: Image.Image) -> str:
    """The hash of an upright picture in hex digits: 64 for each part.

    The whole has the bits of `imagehash.phash(image, hash_size=16)` (tested). That library needs SciPy: 40 MB more to
    download, and 0.7 s and 28 MiB more in each process that imports it. The other parts are made with a filter that
    takes half the time: they then differ by 0.2 of 256 bits more from the whole of a cropped copy.
    """
    grey = image.convert("L")
    whole = (0.0, 0.0, float(grey.width), float(grey.height))
    inside = _inside(grey)
    boxes = [_centre(grey)] + ([inside] if inside != whole else [])
    parts = [_bits(grey, whole, Resampling.LANCZOS), *(_bits(grey, box, Resampling.BILINEAR) for box in boxes)]
    return "".join(part.tobytes().hex() for part in parts)


def read_hashes(texts: Sequence[str]) -> Hashes:
    """The hashes that `perceptual_hash` wrote; zeros for any other text."""
    digits = 2 * PART_BYTES
    lengths = {digits * (PARTS - 1), digits * PARTS}
    known = [text + text[:digits] if len(text) in lengths else "" for text in texts]
    try:
        data = bytes.fromhex("".join([text[: digits * PARTS] or "00" * PART_BYTES * PARTS for text in known]))
        return np.frombuffer(data, np.uint8).reshape(len(texts), PARTS, PART_BYTES)
    except ValueError:  # some are no hex digits
        if len(texts) == 1:
            return np.zeros((1, PARTS, PART_BYTES), np.uint8)
        return np.concatenate([read_hashes([text]) for text in texts])


def turned(parts: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """(N, PART_BYTES) to the same of each picture as it is, flipped and turned by quarters: eight arrays.

    A flip changes the sign of every other frequency, and a transposition transposes them. This is exact but for bits
    near the median: up to 20 of 256 in photographs.
    """
    bits = np.unpackbits(parts, axis=1).reshape(-1, SIDE, SIDE)
    odd = np.arange(SIDE) % 2 == 1
    seen = [bits, bits ^ odd[None, None, :], bits ^ odd[None, :, None], bits ^ odd[None, :, None] ^ odd[None, None, :]]
    seen += [each.transpose(0, 2, 1) for each in seen]
    return [np.packbits(each.reshape(-1, SIDE * SIDE), axis=1) for each in seen]


def bits_between(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Bits:
    """How many bits differ along the last axis of PART_BYTES."""
    words = np.ascontiguousarray(one).view(np.uint64) ^ np.ascontiguousarray(other).view(np.uint64)
    bits: Bits = np.bitwise_count(words).sum(axis=-1, dtype=np.int64)
    return bits


def says_something(hashes: Hashes) -> Mask:
    """Whether there is a hash, and of more than a flat picture: about half of its bits are set then."""
    ones = np.bitwise_count(hashes[:, 0]).sum(axis=1)
    says: Mask = (ones >= SIDE * SIDE // 4) & (ones <= SIDE * SIDE * 3 // 4)
    return says


def _bits(grey: Image.Image, box: Box, resampling: Resampling) -> NDArray[np.uint8]:
    side = SIDE * OVERSAMPLED
    small = np.asarray(grey.resize((side, side), resampling, box=box), np.float64)
    low = np.round(_waves() @ small @ _waves().T, 6)  # or a flat picture's bits were rounding errors
    return np.packbits(low > np.median(low))


@cache
def _waves() -> NDArray[np.float64]:
    """(SIDE, SIDE * OVERSAMPLED): the first rows of the type II discrete cosine transform."""
    side = SIDE * OVERSAMPLED
    frequency, place = np.arange(SIDE)[:, None], np.arange(side)[None, :]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * side))


def _centre(grey: Image.Image) -> Box:
    width, height = grey.size
    return width * MARGIN, height * MARGIN, width * (1 - MARGIN), height * (1 - MARGIN)


def _inside(grey: Image.Image) -> Box:
    """What remains without rows and columns of one colour at the edges."""
    pixels = np.asarray(grey, np.float32)
    top, bottom, left, right = (_flat_rows(seen) for seen in (pixels, pixels[::-1], pixels.T, pixels.T[::-1]))
    return float(left), float(top), float(grey.width - right), float(grey.height - bottom)


def _flat_rows(pixels: NDArray[np.float32]) -> int:
    """How many of the first rows have the colour of the first one; 0 where a third has it, which is no frame."""
    third = pixels[: max(1, len(pixels) // 3)]
    differs = np.abs(third - np.median(third[0])).mean(axis=1) > FLATNESS
    return int(differs.argmax())
