"""A converted Stable Diffusion draws what diffusers draws from the same noise."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidInput, ModelUnavailable
from app.models.generator.base import Parameters, Preview
from app.models.generator.conversion import ship
from app.models.generator.converted_generator import ConvertedGenerator
from app.models.generator.folder import find_pipeline
from app.models.generator.quiet import quiet_diffusers
from app.models.generator.schedulers import scheduler_named
from app.models.openvino.core import NotConvertible
from app.settings import GenerationSettings
from tests.support.tiny_generators import build_tiny_converted, build_tiny_safe_diffusion, build_tiny_sdxl

FIRST = Image.linear_gradient("L").convert("RGB").resize((72, 48))


def load(folder: Path, **settings: Any) -> ConvertedGenerator:
    wanted = GenerationSettings(model=str(folder), **settings)
    return ConvertedGenerator(find_pipeline(wanted), wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_converted(tmp_path_factory.mktemp("generators") / "painter")


@pytest.fixture(scope="module")
def painter(folder: Path) -> ConvertedGenerator:
    return load(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Iterator[Any]:
    """diffusers' own, with weights in half precision, as the graphs keep them."""
    with quiet_diffusers():
        from diffusers import StableDiffusionPipeline

        found = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
        for part in (found.unet, found.vae, found.text_encoder):
            part.half().float()
        found.set_progress_bar_config(disable=True)
        yield found


PARAMETERS = Parameters("a red car", 72, 48, 4, 3.0, 7, "ddim", "fog")


def ignore(step: int, steps: int, preview: Preview) -> None:
    """For drawings without a watcher."""


def noise_of(seed: int) -> Any:
    """As documented: the frozen generator of NumPy."""
    import torch

    return torch.from_numpy(np.random.RandomState(seed).standard_normal((1, 4, 12, 18)).astype(np.float32))


def differences(left: Image.Image, right: Image.Image) -> int:
    return int(np.abs(np.asarray(left).astype(int) - np.asarray(right)).max())


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_it_draws_what_diffusers_draws(
    painter: ConvertedGenerator, pipeline: Any, scheduler: str, guidance: float
) -> None:
    parameters = replace(PARAMETERS, scheduler=scheduler, guidance=guidance, negative_prompt="fog" * (guidance > 1))
    ours = painter.generate(parameters, None, ignore)
    own = pipeline.scheduler
    with quiet_diffusers():
        pipeline.scheduler = scheduler_named(scheduler, own)
        theirs = pipeline(
            parameters.prompt, width=72, height=48, num_inference_steps=4, guidance_scale=guidance,
            negative_prompt=parameters.negative_prompt, latents=noise_of(7),
        ).images[0]  # fmt: skip
        pipeline.scheduler = own
    assert np.asarray(theirs).std() > 5
    assert differences(ours, theirs) <= 2


def test_it_begins_from_a_picture_as_diffusers_does(
    painter: ConvertedGenerator, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = painter.generate(replace(PARAMETERS, strength=0.5), FIRST, ignore)
    with quiet_diffusers():
        from diffusers import StableDiffusionImg2ImgPipeline
        from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as module

        picture = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
        picture.set_progress_bar_config(disable=True)
        monkeypatch.setattr(module, "retrieve_latents", lambda encoded, generator: encoded.latent_dist.mode())
        monkeypatch.setattr(module, "randn_tensor", lambda shape, **options: noise_of(7))
        theirs = picture(
            "a red car", image=FIRST, strength=0.5, num_inference_steps=4, guidance_scale=3.0, negative_prompt="fog"
        ).images[0]
    assert differences(ours, theirs) <= 2


def test_equal_parameters_give_equal_bytes(painter: ConvertedGenerator, folder: Path) -> None:
    drawn = painter.generate(PARAMETERS, None, ignore)
    assert differences(painter.generate(PARAMETERS, None, ignore), drawn) == 0
    assert differences(load(folder, threads=1).generate(PARAMETERS, None, ignore), drawn) <= 1
    assert differences(painter.generate(replace(PARAMETERS, seed=8), None, ignore), drawn) > 0


def test_steps_are_reported_with_previews_and_can_end_it(painter: ConvertedGenerator) -> None:
    seen: list[tuple[int, int]] = []

    def on_step(step: int, steps: int, preview: Preview) -> None:
        seen.append((step, steps))
        image = preview()
        assert image is not None
        assert image.size == (72, 48)
        if step == 3:
            raise StopIteration

    with pytest.raises(StopIteration):
        painter.generate(PARAMETERS, None, on_step)
    assert seen == [(1, 4), (2, 4), (3, 4)]
    seen.clear()
    painter.generate(replace(PARAMETERS, strength=0.5), FIRST, on_step)
    assert seen == [(1, 2), (2, 2)]


def test_abilities_and_limits(painter: ConvertedGenerator) -> None:
    abilities = painter.abilities
    assert (abilities.width, abilities.size_multiple, abilities.min_side, abilities.max_side) == (64, 8, 16, 256)
    assert (abilities.scheduler, abilities.schedulers) == ("ddim", ("ddim", "dpm++"))
    for changed, said in (
        ({"width": 71}, "width=71"),
        ({"scheduler": "euler"}, "It has ddim, dpm"),
        ({"prompt": "a red car at night " * 9}, r"The prompt has \d+ tokens .* painter reads 24. Shorten it"),
        ({"negative_prompt": "a red car at night " * 9}, "The negative prompt has"),
    ):
        with pytest.raises(InvalidInput, match=said):
            painter.generate(replace(PARAMETERS, **changed), None, ignore)


def test_settings_that_the_cpu_lacks_are_named(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="GENERATION_PRECISION=fp16"):
        load(folder, precision="fp16")


def test_stale_or_damaged_graphs_are_not_used(folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder, tmp_path / "changed")
    scheduler = changed / "scheduler/scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "openvino/unet.bin").write_bytes(b"")
    for each in (changed, damaged):
        with pytest.raises(ModelUnavailable, match="missing, damaged or of other weights"):
            load(each)


@pytest.mark.parametrize(
    ("build", "said"),
    [(build_tiny_safe_diffusion, "it has a safety checker"), (build_tiny_sdxl, "it is a StableDiffusionXLPipeline")],
)
def test_what_can_not_be_converted_is_named(build: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(NotConvertible, match=said):
        ship(build(tmp_path / "other"))
