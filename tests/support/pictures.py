"""Small made-up pictures as files, and how to compare what was read with what was written."""

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The picture as a file. `options` are those of Pillow's `save`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quarters(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """Four flat quarters: red and green above, blue and white below."""
    image = Image.new("RGB", (width, height), "white")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    return image.convert(mode)


def smooth(width: int, height: int) -> Image.Image:
    """Smooth colours that differ everywhere."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def assert_alike(image: Image.Image, expected: Image.Image, *, within: float = 0) -> None:
    """The same size, and pixels that differ by `within` of 255 on average at most."""
    assert image.mode == "RGB"
    assert image.size == expected.size
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(expected.convert("RGB"), np.int16))
    assert difference.mean() <= within
