"""An animation is represented by its first frame that shows something."""

import pytest
from PIL import Image

from app.errors import ImageTooLarge
from app.pictures.decoding import decode_image
from app.settings import ImageSettings
from tests.support.pictures import assert_alike, encoded, quarters

BLANK = Image.new("RGB", (40, 30), "white")


def read(data: bytes, **limits: int) -> Image.Image:
    return decode_image(data, ImageSettings(**limits)).image


def animation(kind: str, *frames: Image.Image, **options: object) -> bytes:
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_a_first_frame_of_one_colour_gives_way_to_a_later_one(kind: str) -> None:
    assert_alike(read(animation(kind, BLANK, Image.new("RGB", (40, 30), "black"), quarters())), quarters(), within=12)


def test_a_film_that_fades_in_is_taken_where_something_is_seen() -> None:
    frames = [Image.blend(BLANK, quarters(), share) for share in (0, 0.5, 1)]
    assert_alike(read(animation("GIF", *frames)), frames[1], within=3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_frames_that_are_all_flat_and_single_ones_stay_as_they_are(kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    assert_alike(read(animation(kind, *frames)), frames[0], within=3)
    assert_alike(read(encoded(frames[1], kind)), frames[1], within=3)


def test_a_damaged_later_frame_does_not_cost_the_picture() -> None:
    file = animation("GIF", BLANK, quarters())
    assert_alike(read(file[: len(file) - 60]), BLANK)


def test_a_later_page_must_keep_to_the_limits_as_well() -> None:
    pages = animation("TIFF", BLANK, quarters(400, 300))
    assert read(pages).size == (400, 300)
    assert_alike(read(pages, max_pixels=5000), BLANK)
    with pytest.raises(ImageTooLarge):
        read(pages, max_pixels=500)
