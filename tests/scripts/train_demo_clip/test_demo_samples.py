"""The list of sample pictures, and the places of their objects."""

import numpy as np
import pytest

from scripts.train_demo_clip.backgrounds import DRAWN, PLAIN
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.layout import Item, arrange
from scripts.train_demo_clip.make_samples import SAMPLE_LIST, read_list


@pytest.fixture(scope="module")
def samples():
    return read_list(SAMPLE_LIST.read_text("utf-8"))


def test_about_three_hundred_pictures_in_eight_folders(samples):
    assert 250 <= len(samples) <= 400
    assert {sample.folder for sample in samples} == {
        "animals", "buildings", "clothing", "food", "nature", "nature/beach", "sports", "vehicles",
    }  # fmt: skip


def test_no_two_pictures_share_a_name(samples):
    names = [(sample.folder, sample.stem) for sample in samples]
    assert len(names) == len(set(names))


def test_places_and_tints_are_known(samples):
    known = {*DRAWN, *PLAIN, "sunset-land", "sunset-sea"}
    assert {sample.background for sample in samples} <= known
    assert {item.tint for sample in samples for item in sample.items} <= {None, *COLOUR_NAMES}


def test_a_line_is_read_into_objects():
    (sample,) = read_list("food | grass | red apple*2@green^0.5 + cat")
    assert sample.items == (Item("red apple", "green", 0.5),) * 2 + (Item("cat", None, 1.0),)
    assert sample.stem == "two-green-red-apples-and-cat-on-grass"


def test_objects_stay_inside_the_picture(samples):
    rng = np.random.default_rng(0)
    for sample in samples:
        for spot in arrange(list(sample.items), sample.background, rng):
            assert spot.x - spot.size / 2 + 0.06 >= 0
            assert spot.x + spot.size / 2 <= 1.06
            assert 0.1 < spot.y < 1
