"""PNG files with text entries."""

import pytest
from PIL import Image

from app.errors import InvalidImage
from app.pictures.png_text import read_png_text, write_png
from tests.support.pictures import encoded

IMAGE = Image.linear_gradient("L").convert("RGB")


def test_entries_and_pixels_come_back_and_equal_ones_give_equal_bytes() -> None:
    entries = {"prompt": "a fox — 狐\nin the snow", "seed": "7", "negative_prompt": ""}
    data = write_png(IMAGE, entries)
    assert read_png_text(data) == entries
    assert write_png(IMAGE.copy(), dict(entries)) == data


def test_a_file_without_entries_has_none() -> None:
    assert read_png_text(encoded(IMAGE, "PNG")) == {}


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(IMAGE, "JPEG"), encoded(IMAGE, "PNG")[:100]])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="no PNG file, or a damaged one"):
        read_png_text(data)
