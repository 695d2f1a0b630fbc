"""Small pictures for cells, and the pages they are drawn on."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.errors import InvalidImage
from app.pictures.sprites import draw, encoded_page, fitted, fitted_sides, make_sprite, sprite_pixels
from app.settings import ImageSettings
from tests.support.pictures import assert_alike, encoded, quarters, smooth

SIDES = st.lists(st.tuples(st.integers(1, 300_000), st.integers(1, 300_000)), min_size=1)


@given(SIDES, st.integers(8, 2048))
def test_many_are_fitted_as_one_is(sizes: list[tuple[int, int]], cell: int) -> None:
    widths, heights = (np.array(sides, np.int32) for sides in zip(*sizes, strict=True))
    fits = [fitted(size, cell) for size in sizes]
    assert list(zip(*(each.tolist() for each in fitted_sides(widths, heights, cell)), strict=True)) == fits
    assert all(
        1 <= side <= min(cell, before)
        for fit, size in zip(fits, sizes, strict=True)
        for side, before in zip(fit, size, strict=True)
    )


def test_a_sprite_is_the_picture_in_small() -> None:
    size, pixels = make_sprite(encoded(smooth(400, 300)), ImageSettings(), cell=64)
    assert size == (64, 48)
    assert_alike(Image.frombytes("RGB", size, pixels), smooth(400, 300).resize((64, 48)), within=3)


def test_a_small_picture_keeps_its_size_and_another_size_can_be_asked_for() -> None:
    assert make_sprite(encoded(quarters(40, 30)), ImageSettings(), cell=64) == ((40, 30), quarters(40, 30).tobytes())
    assert len(sprite_pixels(encoded(quarters(40, 30)), ImageSettings(), size=(7, 5))) == 7 * 5 * 3
    with pytest.raises(InvalidImage):
        make_sprite(b"rubbish", ImageSettings(), cell=64)


def test_drawing_replaces_the_whole_cell_and_nothing_beside_it() -> None:
    page = Image.new("RGB", (128, 64), "white")
    draw(page, (64, 0), 64, ((40, 30), quarters(40, 30).tobytes()))
    assert_alike(page.crop((64, 0, 104, 30)), quarters(40, 30))
    assert page.crop((104, 0, 128, 64)).getbbox() is None
    assert page.crop((0, 0, 64, 64)).getextrema() == ((255, 255),) * 3
    draw(page, (64, 0), 64, None)
    assert page.crop((64, 0, 128, 64)).getbbox() is None


@pytest.mark.parametrize(("kind", "within"), [("png", 0), ("webp", 6)])
def test_pages_as_files(kind: str, within: float) -> None:
    with Image.open(io.BytesIO(encoded_page(quarters(128, 64), kind))) as page:  # type: ignore[arg-type]
        assert page.format == kind.upper()
        assert_alike(page.convert("RGB"), quarters(128, 64), within=within)
