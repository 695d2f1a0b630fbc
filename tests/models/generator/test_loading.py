"""Which generator the settings get, and what is said where none can run."""

import json
import logging
from pathlib import Path

import pytest

from app.errors import ModelUnavailable, NotConfigured, NotInstalled
from app.models import extra
from app.models.generator.converted_generator import ConvertedGenerator
from app.models.generator.diffusers_generator import DiffusersGenerator
from app.models.generator.loading import check_installed, load_generator, read_abilities
from app.settings import GenerationSettings
from tests.support.tiny_generators import build_tiny_converted, build_tiny_stable_diffusion


@pytest.fixture
def plain_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pip install image2search` makes it."""
    monkeypatch.setattr(extra, "find_spec", lambda package: None)


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    return build_tiny_converted(tmp_path / "painter")


def of(folder: Path | str) -> GenerationSettings:
    return GenerationSettings(model=str(folder), device="cpu")


@pytest.mark.usefixtures("plain_installation")
def test_a_converted_pipeline_needs_no_packages(converted: Path) -> None:
    check_installed(of(converted))
    generator = load_generator(of(converted))
    assert isinstance(generator, ConvertedGenerator)
    assert generator.name == "painter"
    assert read_abilities(of(converted)) == generator.abilities


@pytest.mark.usefixtures("plain_installation")
def test_others_name_the_packages_that_they_need(tmp_path: Path, converted: Path) -> None:
    plain = build_tiny_stable_diffusion(tmp_path / "plain")
    scheduler = converted / "scheduler/scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    for model, why in (
        (plain, "which is not converted to OpenVINO"),
        ("someone/painter", "which is not converted to OpenVINO"),
        (converted, "whose converted form is damaged or was made from other files"),
    ):
        for ask in (check_installed, load_generator):
            with pytest.raises(NotInstalled) as refused:
                ask(of(model))
            assert str(refused.value) == (
                f"GENERATION_MODEL={model}, {why}, needs PyTorch and transformers and diffusers and Accelerate, not"
                " installed here. Install with `pip install 'image2search[generation]'`, or set GENERATION_MODEL=demo."
            )
        assert read_abilities(of(model)) is None


def test_without_a_model_the_setting_is_named(tmp_path: Path) -> None:
    for ask in (check_installed, load_generator, read_abilities):
        with pytest.raises(NotConfigured, match="GENERATION_MODEL is not set"):
            ask(of(""))
        with pytest.raises(ModelUnavailable, match="so it holds no diffusers pipeline"):
            ask(of(tmp_path))


def test_a_stale_form_is_noticed_and_said(converted: Path, caplog: pytest.LogCaptureFixture) -> None:
    (converted / "openvino/unet.bin").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        generator = load_generator(of(converted))
    assert isinstance(generator, DiffusersGenerator)
    assert caplog.messages == [
        f"painter runs on PyTorch, not on its converted form, which is damaged or was made from other files. `python -m"
        f" scripts.convert_model {converted}` converts it anew."
    ]


def test_a_gpu_that_is_not_there_is_named(converted: Path) -> None:
    with pytest.raises(ModelUnavailable, match="GENERATION_DEVICE=cuda, but PyTorch"):
        load_generator(GenerationSettings(model=str(converted), device="cuda"))
