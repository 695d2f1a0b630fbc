"""Which folders hold a pipeline, and which changes its fingerprint notices."""

import json
import shutil
from pathlib import Path

import pytest

from app.errors import ModelUnavailable, NotConfigured
from app.models.checkpoint import NotDownloaded
from app.models.generator.folder import PipelineFolder, find_pipeline
from app.settings import GenerationSettings


def touched(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as a Stable Diffusion has them, with weights that no library could read."""
    root = tmp_path / "painter"
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "safety_checker": [None, None],
        "requires_safety_checker": False,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    root.mkdir()
    (root / "model_index.json").write_text(json.dumps(index))
    for part in ("unet", "vae"):
        touched(root / part / "diffusion_pytorch_model.safetensors")
        (root / part / "config.json").write_text(json.dumps({"sample_size": 8}))
    touched(root / "tokenizer/tokenizer.json")
    (root / "scheduler").mkdir()
    (root / "scheduler/scheduler_config.json").write_text(json.dumps({"prediction_type": "epsilon"}))
    return root


def found(folder: Path) -> PipelineFolder:
    return find_pipeline(GenerationSettings(model=str(folder)), download=False)


def test_a_folder_says_what_it_holds(folder: Path) -> None:
    pipeline = found(folder)
    assert pipeline.name == "painter"
    assert pipeline.kind == "StableDiffusionPipeline"
    assert sorted(pipeline.parts) == ["scheduler", "tokenizer", "unet", "vae"]
    assert pipeline.config("scheduler") == {"prediction_type": "epsilon"}
    assert pipeline.config("text_encoder") == {}
    assert pipeline.defaults == {}
    assert not pipeline.is_converted


def test_nothing_is_drawn_without_a_model() -> None:
    with pytest.raises(NotConfigured, match="draws no pictures: GENERATION_MODEL is not set"):
        find_pipeline(GenerationSettings(model=""))


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("model_index.json", "has no model_index.json, so it holds no diffusers pipeline"),
        ("unet", "lacks files of its unet"),
        ("vae/diffusion_pytorch_model.safetensors", "lacks files of its vae"),
        ("tokenizer/tokenizer.json", "lacks files of its tokenizer"),
    ],
)
def test_what_is_missing_is_named(folder: Path, removed: str, said: str) -> None:
    path = folder / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ModelUnavailable) as refused:
        found(folder)
    assert said in str(refused.value)
    assert "Set GENERATION_MODEL to" in str(refused.value)


def test_split_weights_are_all_needed(folder: Path) -> None:
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    parts = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    names = {"weight_map": {"a": parts[0], "b": parts[1]}}
    (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(names))
    touched(folder / "unet" / parts[0])
    with pytest.raises(ModelUnavailable, match="lacks files of its unet"):
        found(folder)
    touched(folder / "unet" / parts[1])
    found(folder)


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_damaged_index_is_named(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_text(text)
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        found(folder)


def test_the_fingerprint_is_that_of_what_decides_the_pictures(folder: Path) -> None:
    before = found(folder).fingerprint()
    (folder / "README.md").write_text("about it")
    (folder / "image2search.json").write_text('{"steps": 5}')
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_diffusers_version": "0.50"}, indent=4))
    moved = folder.rename(folder.with_name("moved"))
    assert found(moved).fingerprint() == before
    (moved / "scheduler/scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    assert found(moved).fingerprint() != before


def test_half_precision_alone_is_a_variant(folder: Path) -> None:
    assert found(folder).variant is None
    for part in ("unet", "vae"):
        weights = folder / part / "diffusion_pytorch_model.safetensors"
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert found(folder).variant == "fp16"


def test_a_name_is_looked_up_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotDownloaded, match="someone/painter at revision main is not on this machine yet"):
        find_pipeline(GenerationSettings(model="someone/painter"), download=False)
    with pytest.raises(ModelUnavailable, match=r"GENERATION_MODEL=\./nowhere is no folder"):
        find_pipeline(GenerationSettings(model="./nowhere"))
