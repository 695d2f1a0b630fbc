"""Captioners of every kind through the real loading code, tiny and with random weights; the same ones converted."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.bootstrap import make_captioner
from app.errors import ModelUnavailable
from app.models.agreement import sample_pictures
from app.models.captioner import source
from app.models.captioner.loading import check_installed, find_resize, load_captioner
from app.models.captioner.source import find_captioner
from app.models.extra import PackageMissing
from app.models.openvino import core
from app.settings import CaptionSettings, ModelSettings, Settings
from scripts.convert_model import convert
from tests.support.tiny_captioners import build_tiny_blip, build_tiny_blip2, build_tiny_git, build_tiny_vit_gpt2
from tests.support.tiny_models import Build, build_tiny_clip

SIZE = (32, 32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of converted models; here nothing is converted that a test does not ask for."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_git(tmp_path_factory.mktemp("models") / "tiny-git")


@pytest.fixture(scope="module")
def shipped(git: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GIT with its converted form."""
    folder = shutil.copytree(git, tmp_path_factory.mktemp("shipped") / "tiny-git")
    assert convert(folder) == folder / "openvino"
    return folder


@pytest.fixture
def _without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)


def of(folder: Path, **changed: Any) -> CaptionSettings:
    return CaptionSettings(**{"model": str(folder), "device": "cpu", "max_tokens": 8, "batch_size": 3, **changed})


@pytest.mark.parametrize("build", [build_tiny_git, build_tiny_blip, build_tiny_blip2, build_tiny_vit_gpt2])
@pytest.mark.parametrize("beams", [1, 2])
def test_every_kind_describes_pictures(build: Build, beams: int, tmp_path: Path, cache: Path) -> None:
    folder = build(tmp_path / "model")
    captioner = load_captioner(of(folder, runtime="torch", beams=beams), cache)
    captions = captioner.caption(sample_pictures())
    assert captioner.name == "model"
    assert captioner.runtime == "fp32 torch-cpu"
    assert len(captions) == 4
    assert all(caption and caption == " ".join(caption.split()) for caption in captions)
    assert captions == [captioner.caption([picture])[0] for picture in sample_pictures()]
    assert captioner.caption([]) == []


@pytest.mark.parametrize("beams", [1, 3])
def test_a_converted_captioner_says_the_same(beams: int, shipped: Path, cache: Path) -> None:
    """In batches of other sizes too, with the picture in its own size or in the captioner's."""
    ours, theirs = (load_captioner(of(shipped, runtime=each, beams=beams), cache) for each in ("auto", "torch"))
    assert (ours.runtime, theirs.runtime) == ("fp32 openvino-cpu", "fp32 torch-cpu")
    expected = theirs.caption(sample_pictures())
    assert ours.caption(sample_pictures()) == expected
    assert [ours.caption([ours.resize.shrink(picture)])[0] for picture in sample_pictures()] == expected
    assert ours.resize == theirs.resize
    assert not list(cache.iterdir())


def test_a_blip_is_converted_when_openvino_first_runs_it(tmp_path: Path) -> None:
    folder = build_tiny_blip(tmp_path / "blip")
    ours = load_captioner(of(folder, runtime="openvino"), tmp_path / "cache")
    assert ours.runtime == "fp32 openvino-cpu"
    theirs = load_captioner(of(folder, runtime="torch"), tmp_path / "cache")
    assert ours.caption(sample_pictures()) == theirs.caption(sample_pictures())
    assert list(tmp_path.glob("cache/openvino/*/words.xml"))


@pytest.mark.parametrize(
    ("has_bfloat16", "precision", "runtime"),
    [
        (True, "auto", "bf16 openvino-cpu"),
        (False, "auto", "fp32 torch-cpu"),
        (True, "fp32", "fp32 torch-cpu"),
    ],
)
def test_openvino_runs_where_it_is_faster(
    git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, precision: str, runtime: str
) -> None:
    """In float32 it is not (scripts/bench_captions.py). A CPU that lacks bfloat16 computes it in another way."""
    monkeypatch.setattr(core, "can_bfloat16", lambda: has_bfloat16)
    captioner = load_captioner(of(git, precision=precision), tmp_path)
    assert captioner.runtime == runtime
    assert all(captioner.caption(sample_pictures()))


def test_bfloat16_is_refused_on_a_cpu_that_lacks_it(
    shipped: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "can_bfloat16", lambda: False)
    assert load_captioner(of(shipped, precision="auto"), cache).runtime == "fp32 openvino-cpu"
    with pytest.raises(ModelUnavailable, match=r"^CAPTION_PRECISION=bf16, .* Set CAPTION_PRECISION=auto\.$"):
        load_captioner(of(shipped, precision="bf16"), cache)


def test_what_is_not_converted_runs_on_pytorch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = build_tiny_vit_gpt2(tmp_path / "model")
    assert load_captioner(of(folder), tmp_path / "cache").runtime == "fp32 torch-cpu"
    with pytest.raises(ModelUnavailable, match=r"CAPTION_RUNTIME=openvino, but .* are not converted"):
        load_captioner(of(folder, runtime="openvino"), tmp_path / "cache")


@pytest.mark.usefixtures("_without_extra")
def test_a_converted_captioner_needs_no_pytorch(shipped: Path, git: Path, cache: Path) -> None:
    check_installed(of(shipped), cache)
    captioner = load_captioner(of(shipped), cache)
    assert len(captioner.caption(sample_pictures())) == 4
    assert find_resize(of(shipped), cache) == captioner.resize
    with pytest.raises(
        PackageMissing, match=r"^CAPTION_MODEL=.*tiny-git, which is not converted to OpenVINO yet, needs"
    ):
        check_installed(of(git), cache)
    with pytest.raises(PackageMissing, match=r"^CAPTION_RUNTIME=torch needs PyTorch and transformers"):
        load_captioner(of(shipped, runtime="torch"), cache)


def test_a_form_of_another_fingerprint_is_not_used(
    shipped: Path, tmp_path: Path, cache: Path, request: pytest.FixtureRequest
) -> None:
    changed = shutil.copytree(shipped, tmp_path / "changed")
    rules = json.loads((changed / "generation_config.json").read_text())
    (changed / "generation_config.json").write_text(json.dumps(rules | {"length_penalty": 2.0}))
    request.getfixturevalue("_without_extra")
    with pytest.raises(PackageMissing, match="is not converted to OpenVINO yet"):
        load_captioner(of(changed), cache)


def drop_weight(folder: Path, name: str) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "its weights can't be loaded"),
        (
            lambda folder: drop_weight(folder, "git.encoder.layer.0.output.dense.weight"),
            "its weights lack 1 tensors, git.encoder.layer.0.output.dense.weight among them",
        ),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    spoil: Callable[[Path], object], said: str, git: Path, tmp_path: Path, cache: Path
) -> None:
    folder = shutil.copytree(git, tmp_path / "spoilt")
    spoil(folder)
    with pytest.raises(ModelUnavailable, match=said) as caught:
        load_captioner(of(folder, runtime="torch"), cache)
    assert "Set CAPTION_MODEL to `demo`" in str(caught.value)


def test_a_model_that_writes_nothing_is_refused(tmp_path: Path, cache: Path) -> None:
    folder = build_tiny_clip(tmp_path / "clip")
    with pytest.raises(ModelUnavailable, match="it is a model of the kind clip, which writes no captions"):
        load_captioner(of(folder), cache)


def test_a_folder_that_is_not_there(cache: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"^CAPTION_MODEL=\./nowhere is no folder on this machine. Set CAPTION_"):
        make_captioner(Settings(caption=CaptionSettings(model="./nowhere"), model=ModelSettings(cache=cache)))
    assert make_captioner(Settings(model=ModelSettings(cache=cache))) is None


def test_demo_is_the_captioner_that_comes_with_the_repository(
    git: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Path(__file__).parents[3] / "models" / "demo-captioner" == source.DEMO_FOLDER
    monkeypatch.setattr(source, "DEMO_FOLDER", git)
    assert find_captioner(CaptionSettings(model="demo")).folder == git
    monkeypatch.setattr(source, "DEMO_FOLDER", tmp_path / "demo-captioner")
    with pytest.raises(ModelUnavailable, match="or set CAPTION_MODEL to another model's folder"):
        find_captioner(CaptionSettings(model="demo"))


def test_a_picture_is_described_in_its_own_resolution(shipped: Path, cache: Path) -> None:
    captioner = load_captioner(of(shipped), cache)
    assert captioner.resize.needed((400, 300)) == (42, 32)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    assert captioner.resize.shrink(noise).size == (42, 32)
