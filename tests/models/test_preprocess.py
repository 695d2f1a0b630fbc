"""Preprocessing gives the numbers of transformers, for pictures that are read small and for unusual processors too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.models.checkpoint import DEMO_FOLDER
from app.models.hugging_face import read_preprocessor
from app.models.preprocess import Preprocessor
from app.settings import ImageSettings
from tests.support.pictures import encoded, quarters, smooth


def processor_of(folder: Path, **changed: object) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder, backend="pil", **changed)


@pytest.fixture(params=["tiny_clip", "tiny_siglip", "tiny_siglip2", "tiny_vision_text"])
def model_folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 90), (90, 2), (64, 48), (33, 32), (32, 32), (700, 501), (48, 65)])
def test_the_preprocessor_equals_transformers_own(model_folder: Path, size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    reference = processor_of(model_folder)([image], return_tensors="np")
    preprocess = read_preprocessor(model_folder)
    result, again = preprocess([image]), preprocess([preprocess.shrink(image)])
    assert result.keys() == reference.keys()
    for name, array in result.items():
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, reference[name])
        np.testing.assert_array_equal(array, again[name])
    assert result["pixel_values"].dtype == np.float32


def test_pictures_are_stacked_in_order_as_channels_first(tiny_clip: Path) -> None:
    pixels = read_preprocessor(tiny_clip)([Image.new("RGB", (64, 32), "red"), quarters(50, 90)])
    values = pixels["pixel_values"]
    assert values.shape == (2, 3, 32, 32)
    assert values[0, 0].min() > 1.8
    assert values[0, 1].max() < -1.7


@pytest.mark.parametrize("turn", [lambda size: size, lambda size: size[::-1]])
def test_an_absurdly_long_picture_needs_no_absurd_memory(
    model_folder: Path, turn: Callable[[tuple[int, int]], tuple[int, int]]
) -> None:
    preprocess = read_preprocessor(model_folder)
    image = Image.new("RGB", turn((60_000, 1)), "red")
    assert preprocess.shrink(image).width * preprocess.shrink(image).height < 500_000
    values = preprocess([image])["pixel_values"]
    assert values.shape == preprocess([quarters()])["pixel_values"].shape


def test_a_large_photograph_is_read_as_its_small_copy(model_folder: Path) -> None:
    """Reading it small changes the model's input less than saving it as a JPEG of good quality does."""
    scene, preprocess = smooth(1024, 768), read_preprocessor(model_folder)
    read = preprocess.read_picture(encoded(scene, "JPEG", quality=95), ImageSettings())
    assert (read.width, read.height) == (1024, 768)
    small, full = preprocess([read.image]), preprocess([scene])
    assert {name: array.shape for name, array in small.items()} == {name: array.shape for name, array in full.items()}
    assert np.abs(small["pixel_values"] - full["pixel_values"]).mean() < 0.03


def test_pixels_come_from_a_table_where_a_processor_looks_at_each_pixel_by_itself(
    tiny_clip: Path, tiny_siglip: Path, tiny_siglip2: Path
) -> None:
    """Other tests compare the numbers with those of transformers. This one shows that the fast way is taken."""
    for folder, expected in ((tiny_clip, True), (tiny_siglip, True), (tiny_siglip2, False), (DEMO_FOLDER, True)):
        preprocess = read_preprocessor(folder)
        assert (preprocess.facts() is not None) == expected, folder.name


@pytest.mark.parametrize(
    "changed",
    [
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"crop_size": {"height": 20, "width": 31}},
        {"crop_size": {"height": 60, "width": 60}},
        {"do_center_crop": False, "size": {"height": 24, "width": 40}},
        {"do_resize": False, "do_center_crop": False},
        {"image_mean": [0.1, 0.7, 0.3], "image_std": [0.9, 0.2, 0.4]},
    ],
)
def test_unusual_processors_give_what_transformers_makes_of_them(tiny_clip: Path, changed: dict[str, object]) -> None:
    processor = processor_of(tiny_clip, **changed)
    images = [smooth(48, 48), smooth(48, 48).rotate(90)]
    result, reference = Preprocessor.of(processor)(images), processor(images, return_tensors="np")
    assert result.keys() == reference.keys()
    np.testing.assert_array_equal(result["pixel_values"], reference["pixel_values"])
