"""Real pipelines of diffusers with tiny random weights: each family loads, draws, reports, and ends when told to."""

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ContentRefused, InvalidInput, ModelUnavailable
from app.models.generator.base import Parameters, Preview
from app.models.generator.diffusers_generator import DiffusersGenerator
from app.models.generator.folder import find_pipeline
from app.settings import GenerationSettings
from tests.support.tiny_generators import (
    build_tiny_flux,
    build_tiny_pixart,
    build_tiny_safe_diffusion,
    build_tiny_sdxl,
    build_tiny_stable_diffusion,
)

FIRST = Image.linear_gradient("L")


def load(folder: Path, **settings: Any) -> DiffusersGenerator:
    wanted = GenerationSettings(model=str(folder), device="cpu", **settings)
    return DiffusersGenerator(find_pipeline(wanted), wanted, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_stable_diffusion(tmp_path_factory.mktemp("generators") / "painter")


@pytest.fixture(scope="module")
def painter(folder: Path) -> DiffusersGenerator:
    return load(folder)


class Steps:
    """Keeps what a generator reports."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.preview: Image.Image | None = None
        self._stop_at = stop_at

    def __call__(self, step: int, steps: int, preview: Preview) -> None:
        self.seen.append((step, steps))
        if step == 1:
            self.preview = preview()
        if step == self._stop_at:
            raise Cancelled


class Cancelled(ValueError):
    """Of a kind that pipelines raise too."""


def of(generator: DiffusersGenerator, **changed: Any) -> Parameters:
    abilities = generator.abilities
    plain = Parameters("a red car", 64, 64, 3, abilities.guidance, 7, abilities.scheduler)
    return replace(plain, **changed)


def pixels(image: Image.Image) -> Any:
    assert image.mode == "RGB"
    return np.asarray(image)


def test_a_stable_diffusion_draws_the_same_picture_again(painter: DiffusersGenerator, folder: Path) -> None:
    steps = Steps()
    image = painter.generate(of(painter, width=72, height=48), None, steps)
    assert image.size == (72, 48)
    assert steps.seen == [(1, 3), (2, 3), (3, 3)]
    assert steps.preview is not None
    assert steps.preview.size == (72, 48)
    same = painter.generate(of(painter, width=72, height=48), None, Steps())
    assert np.array_equal(pixels(same), pixels(image))
    again = load(folder, attention_slicing=True, threads=1).generate(of(painter, width=72, height=48), None, Steps())
    assert np.abs(pixels(again).astype(int) - pixels(image)).max() <= 1, "other sums of the same numbers"
    for changed in ({"seed": 8}, {"prompt": "a blue car"}, {"negative_prompt": "fog"}, {"guidance": 3.0}, {"steps": 4}):
        other = painter.generate(of(painter, width=72, height=48, **changed), None, Steps())
        assert not np.array_equal(pixels(other), pixels(image)), changed


def test_abilities_are_those_of_the_pipeline(painter: DiffusersGenerator) -> None:
    abilities = painter.abilities
    assert (abilities.width, abilities.height, abilities.size_multiple) == (64, 64, 8)
    assert (abilities.min_side, abilities.max_side, abilities.max_steps) == (16, 256, 500)
    assert (abilities.steps, abilities.guidance, abilities.scheduler) == (50, 7.5, "ddim")
    assert {"ddim", "dpm++", "euler", "euler_a", "heun", "pndm", "unipc"} <= set(abilities.schedulers)
    assert abilities.takes_pictures
    assert abilities.takes_negative_prompts


def test_every_scheduler_draws(painter: DiffusersGenerator) -> None:
    drawn = {
        name: pixels(painter.generate(of(painter, scheduler=name, steps=4), None, Steps())).tobytes()
        for name in painter.abilities.schedulers
    }
    assert len(set(drawn.values())) >= len(drawn) - 2, "different schedulers should give different pictures"
    assert drawn["ddim"] == pixels(painter.generate(of(painter, steps=4), None, Steps())).tobytes()


def test_a_drawing_begins_from_a_picture(painter: DiffusersGenerator) -> None:
    steps = Steps()
    drawn = [
        pixels(painter.generate(of(painter, steps=4, strength=0.5), first, steps))
        for first in (FIRST, FIRST.rotate(90))
    ]
    assert steps.seen == [(1, 2), (2, 2)] * 2
    assert not np.array_equal(*drawn)
    assert pixels(painter.generate(of(painter), None, Steps())).shape == drawn[0].shape


def test_a_drawing_ends_between_steps(painter: DiffusersGenerator) -> None:
    steps = Steps(stop_at=2)
    with pytest.raises(Cancelled):
        painter.generate(of(painter), None, steps)
    assert steps.seen == [(1, 3), (2, 3)]
    painter.generate(of(painter), None, Steps())


def test_limits_are_named(painter: DiffusersGenerator) -> None:
    with pytest.raises(InvalidInput, match="width=65"):
        painter.generate(of(painter, width=65), None, Steps())
    with pytest.raises(InvalidInput, match=r"The prompt has \d+ tokens .* painter reads 24. Shorten it."):
        painter.generate(of(painter, prompt="a red car at night " * 9), None, Steps())
    with pytest.raises(InvalidInput, match="The negative prompt has"):
        painter.generate(of(painter, negative_prompt="a red car at night " * 9), None, Steps())


def test_a_safety_checker_stays(tmp_path: Path) -> None:
    generator = load(build_tiny_safe_diffusion(tmp_path / "safe"))
    with pytest.raises(ContentRefused, match="safety checker of safe rejects this picture"):
        generator.generate(of(generator), None, Steps())


def draws(build: Callable[..., Path], tmp_path: Path, side: int = 64, **changed: Any) -> DiffusersGenerator:
    generator, steps = load(build(tmp_path / "other")), Steps()
    image = generator.generate(of(generator, steps=2, width=side, height=side, **changed), None, steps)
    assert image.size == (side, side)
    assert steps.seen == [(1, 2), (2, 2)]
    assert steps.preview is not None
    return generator


def test_sdxl_draws(tmp_path: Path) -> None:
    generator = draws(build_tiny_sdxl, tmp_path, negative_prompt="fog")
    assert generator.abilities.guidance == 5.0
    assert generator.generate(of(generator, strength=0.5, steps=2), FIRST, Steps()).size == (64, 64)


def test_pixart_draws_from_words_alone(tmp_path: Path) -> None:
    generator = draws(build_tiny_pixart, tmp_path)
    assert (generator.abilities.size_multiple, generator.abilities.steps) == (8, 20)
    with pytest.raises(InvalidInput, match="can't begin a drawing from a picture"):
        generator.generate(of(generator), FIRST, Steps())


def test_flux_keeps_its_own_scheduler(tmp_path: Path) -> None:
    generator = draws(build_tiny_flux, tmp_path, side=256)
    assert generator.abilities.schedulers == ("flow_euler",)
    assert generator.abilities.width == 512
    with pytest.raises(InvalidInput, match="takes no negative prompt"):
        generator.generate(of(generator, width=256, height=256, negative_prompt="fog"), None, Steps())


def test_networks_that_draw_in_few_steps_are_known(folder: Path, tmp_path: Path) -> None:
    turbo = build_tiny_stable_diffusion(tmp_path / "tiny-turbo")
    assert (load(turbo).abilities.steps, load(turbo).abilities.guidance) == (4, 0.0)
    (turbo / "image2search.json").write_text(json.dumps({"steps": 9, "guidance": 2, "scheduler": "dpm++"}))
    abilities = load(turbo).abilities
    assert (abilities.steps, abilities.guidance, abilities.scheduler) == (9, 2.0, "dpm++")


def test_nothing_is_logged_and_nothing_is_warned(
    folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        generator = load(folder)
        generator.generate(of(generator, scheduler="dpm++"), None, Steps())
    assert caplog.records == []
    assert warned == []
    assert capfd.readouterr() == ("", "")


def test_what_is_no_generator_is_named(folder: Path, tmp_path: Path) -> None:
    other = build_tiny_stable_diffusion(tmp_path / "broken")
    (other / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelUnavailable, match="The model broken can't be used: it can't be loaded"):
        load(other)
    with pytest.raises(ModelUnavailable, match="GENERATION_PRECISION=fp16 needs a GPU"):
        load(folder, precision="fp16")
    index = json.loads((folder / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps(index | {"_class_name": "NoSuchPipeline"}))
    with pytest.raises(ModelUnavailable, match="broken can't be used"):
        load(other)
