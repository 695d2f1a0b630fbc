"""Where in a picture a text is: windows of the picture are embedded as pictures of their own and compared with it.

It needs only ordinary passes through the image tower, so that it works in each runtime and arithmetic, and for each way
of pooling. Hiding parts instead (occlusion, arXiv:1311.2901, section 4.2) points less well: `scripts/bench_explain.py`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.types import Vectors

SIDE: Final = 8
"""Cells along the longer side of a picture."""

WINDOW: Final = 2
"""Cells along each side of a window; the best of those compared. 49 windows at most."""

Heat: TypeAlias = NDArray[np.float32]
"""(rows, columns)."""

Masks: TypeAlias = NDArray[np.bool_]
"""(N, rows, columns): the cells in each window."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """How near each cell of a picture is to a text."""

    values: Heat
    """Mean over the windows around the cell: cosine with the text less cosine with a text that fits any picture."""

    @property
    def shown(self) -> Heat:
        """From 0 for the coldest cell to 1 for the hottest; all 0 where no cell is hotter than another."""
        lowest, highest = float(self.values.min()), float(self.values.max())
        if highest <= lowest:
            return np.zeros_like(self.values)
        shown: Heat = ((self.values - lowest) / (highest - lowest)).astype(np.float32)
        return shown


def grid_of(size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of nearly square cells for a picture of this width and height."""
    width, height = size
    longest = max(size)
    return max(WINDOW, round(SIDE * height / longest)), max(WINDOW, round(SIDE * width / longest))


def windows(grid: tuple[int, int]) -> Masks:
    """Each place of a window in the grid, row by row."""
    rows, columns = grid
    down, across = (_runs(length) for length in (rows, columns))
    masks: Masks = (down[:, None, :, None] & across[None, :, None, :]).reshape(-1, rows, columns)
    return masks


def _runs(length: int) -> NDArray[np.bool_]:
    """(length - WINDOW + 1, length): each run of WINDOW cells."""
    starts, cells = np.arange(length - WINDOW + 1)[:, None], np.arange(length)
    runs: NDArray[np.bool_] = (starts <= cells) & (cells < starts + WINDOW)
    return runs


def cut(image: Image.Image, masks: Masks) -> list[Image.Image]:
    """The part of the picture in each window."""
    _, rows, columns = masks.shape
    return [image.crop(_box(mask, image.width / columns, image.height / rows)) for mask in masks]


def _box(mask: NDArray[np.bool_], width: float, height: float) -> tuple[int, int, int, int]:
    """In pixels, at least one wide and high, for cells of this size."""
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(across[0] * width), int(down[0] * height)
    return left, top, max(left + 1, round((across[-1] + 1) * width)), max(top + 1, round((down[-1] + 1) * height))


def heat_map(direction: Vectors, parts: Vectors, masks: Masks) -> HeatMap:
    """`direction` (D,) is the text's vector less that of a text that fits any picture; `parts` (N, D) are unit rows."""
    values = np.einsum("n,nrc->rc", parts @ direction, masks) / masks.sum(axis=0)
    return HeatMap(values.astype(np.float32))
