"""What a generator refuses, with the limit named."""

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from app.errors import InvalidInput
from app.models.generator.base import Abilities, Parameters
from app.models.generator.limits import check_parameters, fitted, nearest_size, steps_with_picture

ABILITIES = Abilities(
    width=96, height=96, size_multiple=8, min_side=24, max_side=384, steps=20, guidance=5.0, scheduler="ddim",
    schedulers=("ddim", "dpm++"), max_steps=500,
)  # fmt: skip
FINE = Parameters("a red car", 96, 128, 20, 5.0, 1, "ddim", "blurry", 0.5)


def test_parameters_within_the_limits_pass() -> None:
    check_parameters(FINE, ABILITIES, with_picture=True)
    check_parameters(replace(FINE, strength=0.0), ABILITIES, with_picture=False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width": 100}, "width=100 can't be drawn. This model draws from 24 to 384 pixels, in multiples of 8."),
        ({"height": 8}, "height=8"),
        ({"height": 800}, "height=800"),
        ({"steps": 0}, "takes 1 to 500"),
        ({"steps": 501}, "takes 1 to 500"),
        ({"guidance": -1.0}, "guidance=-1 is out of range"),
        ({"guidance": float("nan")}, "guidance=nan is out of range"),
        ({"guidance": 1e6}, "Give 0 to 50"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "Give 0 to 4294967295."),
        ({"scheduler": "karras"}, "no scheduler 'karras'. It has ddim, dpm++."),
        ({"guidance": 1.0}, "A negative prompt has no effect without guidance."),
        ({"strength": 0.0}, "more than 0 and at most 1"),
        ({"strength": 1.5}, "more than 0 and at most 1"),
        ({"strength": 0.01}, "leaves none of 20 steps. Give at least 100 steps"),
    ],
)
def test_each_limit_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_parameters(replace(FINE, **changed), ABILITIES, with_picture=True)
    assert said in str(refused.value)


def test_what_a_model_lacks_is_refused() -> None:
    plain = replace(ABILITIES, takes_negative_prompts=False, takes_pictures=False)
    with pytest.raises(InvalidInput, match="takes no negative prompt"):
        check_parameters(FINE, plain, with_picture=False)
    with pytest.raises(InvalidInput, match="can't begin a drawing from a picture"):
        check_parameters(replace(FINE, negative_prompt=""), plain, with_picture=True)


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((96, 96), (96, 96)), ((4000, 2000), (136, 64)), ((10, 10000), (24, 384)), ((1920, 1080), (128, 72))],
)
def test_a_first_picture_keeps_its_shape_and_the_models_area(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    assert nearest_size(*size, ABILITIES) == drawn
    check_parameters(replace(FINE, width=drawn[0], height=drawn[1]), ABILITIES, with_picture=True)
    assert fitted(Image.new("L", size), replace(FINE, width=drawn[0], height=drawn[1])).size == drawn


def test_strength_is_the_part_of_the_steps_that_is_taken() -> None:
    assert [steps_with_picture(20, strength) for strength in (0.05, 0.5, 1.0)] == [1, 10, 20]
