"""Small pictures on large ones: each is fitted into its cell, and a page joins many cells."""

import io
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from PIL import Image

from app.pictures.decoding import Size, decode_image
from app.pictures.limits import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PageFormat: TypeAlias = Literal["png", "webp"]

QUALITY: Final = 80
"""WebP's scale: 0 to 100."""

Sprite: TypeAlias = tuple[Size, bytes]
"""The size of a small picture, and its pixels in RGB."""


def fitted(size: Size, cell: int) -> Size:
    """The size of a picture in a square cell. It keeps its proportions and is never enlarged."""
    scale = min(1.0, cell / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def fitted_sides(
    widths: "NDArray[np.int32]", heights: "NDArray[np.int32]", cell: int
) -> tuple["NDArray[np.int64]", "NDArray[np.int64]"]:
    """`fitted` of many pictures: their new widths and heights."""
    import numpy as np

    scales = np.minimum(1.0, cell / np.maximum(widths, heights))
    width, height = (np.maximum(1, np.rint(sides * scales)).astype(np.int64) for sides in (widths, heights))
    return width, height


def sprite_pixels(data: bytes, limits: Limits, *, size: Size) -> bytes:
    """A picture file as pixels in RGB of exactly this size. Raises as `decode_image`."""
    image = decode_image(data, limits, lambda _: size).image
    return image.resize(size, Image.Resampling.LANCZOS).tobytes()


def make_sprite(data: bytes, limits: Limits, *, cell: int) -> Sprite:
    """A picture file fitted into a cell: its size there, and its pixels in RGB. Raises as `decode_image`."""
    picture = decode_image(data, limits, lambda size: fitted(size, cell))
    size = fitted((picture.width, picture.height), cell)
    return size, picture.image.resize(size, Image.Resampling.LANCZOS).tobytes()


def draw(page: Image.Image, corner: tuple[int, int], cell: int, sprite: Sprite | None) -> None:
    """Draw a sprite over what is in the cell with this upper left corner; None clears the cell."""
    page.paste("black", (*corner, corner[0] + cell, corner[1] + cell))
    if sprite:
        page.paste(Image.frombytes("RGB", *sprite), corner)


def encoded_page(page: Image.Image, kind: PageFormat) -> bytes:
    buffer = io.BytesIO()
    if kind == "png":
        page.save(buffer, "PNG", compress_level=6)
    else:
        page.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
