"""What is said of the demo model."""

import pytest

from app.models.advice import is_sample, knows_drawings_only
from app.models.calibration import SAMPLES
from app.models.checkpoint import DEMO_FOLDER
from app.settings import ModelSettings


@pytest.mark.parametrize("name", ["demo", str(DEMO_FOLDER), f"{DEMO_FOLDER}/../demo-clip"])
def test_the_demo_model_by_name_and_by_folder(name: str) -> None:
    assert knows_drawings_only(ModelSettings(name=name))


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch32", "demo-clip", "~/models/clip"])
def test_other_models(name: str) -> None:
    assert not knows_drawings_only(ModelSettings(name=name))


def test_samples_are_known_by_name_and_size_wherever_they_lie() -> None:
    sample = SAMPLES / "animals" / "cat-on-grass.jpg"
    size = sample.stat().st_size
    assert is_sample("animals/cat-on-grass.jpg", size)
    assert is_sample("mine/cat-on-grass.jpg", size)
    assert not is_sample("animals/cat-on-grass.jpg", size + 1)
    assert not is_sample("animals/my-cat.jpg", size)
