"""Windows over a picture, the mean over them, and the colours."""

import io

import numpy as np
import pytest
from PIL import Image

from app.search.explain.drawing import INFERNO, colours, draw, opened, small_copy
from app.search.explain.heat_map import SIDE, WINDOW, HeatMap, cut, grid_of, heat_map, windows
from app.settings import ImageSettings
from tests.support.pictures import encoded


@pytest.mark.parametrize(
    ("size", "grid"), [((96, 96), (8, 8)), ((640, 480), (6, 8)), ((10, 4000), (8, 2)), ((1, 1), (8, 8))]
)
def test_every_cell_of_every_picture_is_in_a_window(size: tuple[int, int], grid: tuple[int, int]) -> None:
    masks = windows(grid_of(size))
    assert masks.shape[1:] == grid
    assert masks.any(axis=0).all()
    assert len(masks) <= (SIDE - WINDOW + 1) ** 2
    assert all(min(part.size) >= 1 for part in cut(Image.new("RGB", size), masks))


def test_a_window_is_the_part_of_the_picture_that_its_mask_names() -> None:
    image = Image.new("RGB", (80, 80))
    image.paste("red", (60, 20, 80, 40))
    masks = windows((8, 8))
    (number,) = (n for n, part in enumerate(cut(image, masks)) if part.getcolors() == [(400, (255, 0, 0))])
    assert np.argwhere(masks[number]).min(axis=0).tolist() == [2, 6]
    assert np.argwhere(masks[number]).max(axis=0).tolist() == [3, 7]


def test_the_hottest_cell_lies_in_the_windows_that_are_like_the_text() -> None:
    masks = windows((8, 8))
    parts = np.where(masks[:, 6, 1, None], np.float32([1, 0]), np.float32([0, 1]))
    made = heat_map(np.float32([1, 0]), parts, masks)
    assert made.values[6, 1] == pytest.approx(1)
    assert made.values[0, 7] == pytest.approx(0)
    assert (made.shown.min(), made.shown.max()) == (0, 1)


def test_a_map_without_any_difference_is_dark_everywhere() -> None:
    assert not HeatMap(np.full((8, 8), 0.2, np.float32)).shown.any()


def test_colours_become_lighter_from_cold_to_hot() -> None:
    ramp = colours(np.linspace(0, 1, 100, dtype=np.float32)[None])
    lightness = ramp[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) >= -1).all()
    assert ramp[0, 0].tolist() == INFERNO[0].tolist()
    assert ramp[0, -1].tolist() == INFERNO[-1].tolist()


def test_a_map_is_drawn_in_the_size_of_the_copy() -> None:
    copy = opened(small_copy(encoded(Image.new("RGB", (600, 300), "green")), ImageSettings(), max_side=128))
    heat = np.zeros((4, 8), np.float32)
    heat[0, 0] = 1
    alone, over = (Image.open(io.BytesIO(draw(heat, copy, overlay=overlay))) for overlay in (False, True))
    assert alone.size == over.size == (128, 64)
    assert alone.getpixel((0, 0)) == tuple(INFERNO[-1].astype(int))
    assert alone.getpixel((120, 60)) == tuple(INFERNO[0].astype(int))
    assert over.getpixel((120, 60))[1] > 30  # the picture shines through
