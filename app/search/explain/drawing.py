"""Heat maps to pictures, in colours whose lightness rises evenly (matplotlib's inferno)."""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.pictures.resized import resized_file
from app.search.explain.heat_map import Heat
from app.settings import ImageSettings

INFERNO: Final = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float32,
)
"""Nine even steps of matplotlib's colour map (CC0); between them, colours are mixed."""

OPACITY: Final = 0.65
"""Of the map over the picture."""


def small_copy(data: bytes, limits: ImageSettings, *, max_side: int) -> bytes:
    """A picture file as PNG, for a map to be drawn over. Runs in a decoder process. Raises as `decode_image`."""
    return resized_file(data, limits, max_side=max_side, kind="PNG", quality=0)


def opened(copy: bytes) -> Image.Image:
    """What `small_copy` made, in RGB."""
    with Image.open(io.BytesIO(copy), formats=["PNG"]) as file:
        return file.convert("RGB")


def draw(heat: Heat, picture: Image.Image, *, overlay: bool) -> bytes:
    """A PNG of the map in the size of the picture: over it, or alone. `heat` is from 0 to 1."""
    smooth = Image.fromarray(heat.astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    coloured = Image.fromarray(colours(np.asarray(smooth)))
    made = Image.blend(picture, coloured, OPACITY) if overlay else coloured
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()


def colours(heat: Heat) -> NDArray[np.uint8]:
    """(H, W, 3) of values from 0 to 1."""
    place = np.clip(heat, 0, 1) * (len(INFERNO) - 1)
    below = np.minimum(place.astype(np.intp), len(INFERNO) - 2)
    share = (place - below)[..., None]
    mixed: NDArray[np.uint8] = (INFERNO[below] * (1 - share) + INFERNO[below + 1] * share).round().astype(np.uint8)
    return mixed
