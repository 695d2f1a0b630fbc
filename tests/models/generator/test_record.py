"""What a generated picture's file says gives the parameters back."""

from dataclasses import replace

import pytest
from PIL import Image

from app.errors import InvalidInput
from app.models.generator.base import Parameters
from app.models.generator.record import entries_of, parameters_of
from app.pictures.png_text import read_png_text, write_png

PARAMETERS = Parameters("ein rotes Auto, 夜", 96, 128, 20, 1 / 3, 4294967295, "dpm++", "blurry\nfog", 0.1)


def test_parameters_come_back_from_the_file() -> None:
    data = write_png(Image.new("RGB", (4, 4), "red"), entries_of(PARAMETERS, "demo-generator", with_picture=True))
    entries = read_png_text(data)
    assert parameters_of(entries) == PARAMETERS
    assert entries["model"] == "demo-generator"
    assert entries["Software"] == "image2search"


def test_strength_is_said_only_where_it_counts() -> None:
    entries = entries_of(PARAMETERS, "demo-generator")
    assert "strength" not in entries
    assert parameters_of(entries) == replace(PARAMETERS, strength=0.8)


def test_a_picture_of_another_program_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not say how it was generated"):
        parameters_of({"Software": "another"})
    with pytest.raises(InvalidInput, match="does not say how it was generated"):
        parameters_of(entries_of(PARAMETERS, "m") | {"seed": "x"})
