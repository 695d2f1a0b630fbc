"""The embedder on tiny models of every supported architecture, against a plain transformers forward."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import ModelUnavailable
from app.models.base import Embedder
from app.models.choose import load_embedder
from app.models.embedder import FORWARD_SIZE, DualEncoder
from app.models.hardware import has_cuda
from app.settings import ImageSettings, ModelSettings
from tests.support.pictures import encoded

TEXTS = ["a photo of a dog", "black cat sleeping on the red sofa", "", "Old City at NIGHT", "qwerty é 漢字 🙂"]
REFERENCE_PADDING = {"tiny_siglip": "max_length", "tiny_siglip2": "max_length"}


def load(folder: Path, **settings: Any) -> DualEncoder:
    return load_embedder(ModelSettings(name=str(folder), device="cpu", **{"runtime": "torch"} | settings))


def pictures() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        for height, width in [(40, 60), (100, 20), (32, 32), (1, 1), (200, 300)]
    ]


@pytest.fixture(params=["tiny_clip", "tiny_siglip", "tiny_siglip2", "tiny_vision_text"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(request: pytest.FixtureRequest, kind: str) -> Path:
    path: Path = request.getfixturevalue(kind)
    return path


@pytest.fixture(params=["torch", "auto"])
def embedder(request: pytest.FixtureRequest, folder: Path, kind: str) -> DualEncoder:
    """On PyTorch, and on the runtime that `auto` chooses: OpenVINO, except for NaFlex, which it can't run."""
    loaded = load(folder, runtime=request.param)
    assert loaded.identity.runtime == (
        "openvino-cpu" if request.param == "auto" and kind != "tiny_siglip2" else "torch-cpu"
    )
    return loaded


def unit(features: Any) -> NDArray[np.float32]:
    import torch

    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    rows: NDArray[np.float32] = torch.nn.functional.normalize(tensor, dim=-1).numpy()
    return rows


def assert_unit_rows(vectors: NDArray[np.float32], count: int, dimension: int) -> None:
    assert vectors.dtype == np.float32
    assert vectors.shape == (count, dimension)
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_vectors_are_those_of_a_plain_forward(embedder: DualEncoder, folder: Path, kind: str) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=REFERENCE_PADDING.get(kind, True), truncation=True, return_tensors="pt"
    )
    if "siglip" in kind:
        del tokens["attention_mask"]
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(pictures(), return_tensors="pt")
    with torch.no_grad():
        texts, images = unit(model.get_text_features(**tokens)), unit(model.get_image_features(**pixels))
    assert (embedder.encode_texts(TEXTS) * texts).sum(axis=1).min() > 0.99999
    assert (embedder.encode_images(pictures()) * images).sum(axis=1).min() > 0.99999
    assert np.abs(images @ images.T - np.eye(len(images))).max() > 0.01
    assert texts[0] @ texts[1] < 0.99
    assert images[0] @ images[1] < 0.99


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_tipsv2_vectors_are_those_of_a_plain_forward(tiny_tipsv2: Path, runtime: str) -> None:
    """Its model card: pictures resized to a square, values from 0 to 1, not normalised; texts padded to full length."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = [text for text in TEXTS if text]  # the model makes no vector of an empty text
    model = AutoModel.from_pretrained(tiny_tipsv2).eval()
    tokens = AutoTokenizer.from_pretrained(tiny_tipsv2)(
        texts, padding="max_length", truncation=True, max_length=16, return_tensors="pt"
    )
    resized = [np.asarray(each.resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255 for each in pictures()]
    pixels = torch.from_numpy(np.stack(resized).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        expected = unit(model.get_text_features(**tokens)), unit(model.get_image_features(pixels))
    embedder = load(tiny_tipsv2, runtime=runtime)
    assert (embedder.encode_texts(texts) * expected[0]).sum(axis=1).min() > 0.99999
    assert (embedder.encode_images(pictures()) * expected[1]).sum(axis=1).min() > 0.99999


def test_rows_are_unit_float32_and_do_not_depend_on_their_neighbours(embedder: DualEncoder) -> None:
    dimension = embedder.identity.dimension
    texts, images = embedder.encode_texts(TEXTS), embedder.encode_images(pictures())
    assert_unit_rows(texts, len(TEXTS), dimension)
    assert_unit_rows(images, len(pictures()), dimension)
    np.testing.assert_allclose(texts, np.concatenate([embedder.encode_texts([text]) for text in TEXTS]), atol=1e-5)
    alone = np.concatenate([embedder.encode_images([picture]) for picture in pictures()])
    np.testing.assert_allclose(images, alone, atol=1e-5)


def test_nothing_gives_no_rows(embedder: DualEncoder) -> None:
    assert_unit_rows(embedder.encode_texts([]), 0, embedder.identity.dimension)
    assert_unit_rows(embedder.encode_images([]), 0, embedder.identity.dimension)


def test_a_text_beyond_the_context_is_cut(embedder: DualEncoder) -> None:
    long = embedder.encode_texts(["dog " * 500, "dog " * 5000, "dog"])
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)
    assert long[0] @ long[2] < 0.999


def test_roberta_counts_its_context_from_the_padding_id_on(tiny_vision_text: Path, tmp_path: Path) -> None:
    from transformers import RobertaConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    copy = shutil.copytree(tiny_vision_text, tmp_path / "roberta")
    vision = VisionTextDualEncoderConfig.from_pretrained(copy).vision_config
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = RobertaConfig(**small, vocab_size=200, max_position_embeddings=20, pad_token_id=1)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=16)
    VisionTextDualEncoderModel(config).save_pretrained(copy)
    assert_unit_rows(load(copy).encode_texts(["dog " * 100]), 1, 16)


def test_lists_of_any_length_keep_their_order(tiny_clip: Path) -> None:
    embedder = load(tiny_clip)
    texts = [f"a photo of {number} dogs" for number in range(2 * FORWARD_SIZE + 3)]
    vectors = embedder.encode_texts(texts)
    assert_unit_rows(vectors, len(texts), 16)
    for at in (0, FORWARD_SIZE - 1, FORWARD_SIZE, len(texts) - 1):
        np.testing.assert_allclose(vectors[at], embedder.encode_texts([texts[at]])[0], atol=1e-5)


def test_siglip_sees_lower_case(tiny_siglip: Path, tiny_siglip2: Path) -> None:
    for folder in (tiny_siglip, tiny_siglip2):
        upper, lower = load(folder).encode_texts(["RED Sofa", "red sofa"])
        np.testing.assert_array_equal(upper, lower)


def test_text_that_is_no_unicode_is_embedded_all_the_same(tiny_clip: Path) -> None:
    assert_unit_rows(load(tiny_clip).encode_texts(["\ud800 dog"]), 1, 16)


def test_pictures_that_were_read_have_the_vector_of_those_in_full(embedder: DualEncoder) -> None:
    files = [encoded(picture) for picture in pictures()]
    small = [embedder.read_picture(file, ImageSettings()) for file in files]
    assert [(each.width, each.height) for each in small] == [picture.size for picture in pictures()]
    np.testing.assert_array_equal(
        embedder.encode_images([each.image for each in small]), embedder.encode_images(pictures())
    )


def test_the_identity_says_what_ran(tiny_clip: Path) -> None:
    embedder: Embedder = load(tiny_clip)
    identity = embedder.identity
    assert (identity.name, identity.dimension) == ("tiny-clip", 16)
    assert (identity.precision, identity.runtime) == ("fp32", "torch-cpu")
    assert identity == load(tiny_clip).identity
    assert embedder.notice is None


def test_the_makers_notice_is_read_from_the_config(tiny_clip: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_clip, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"image2search": {"notice": "For trying out only."}}))
    assert load(copy).notice == "For trying out only."
    (copy / "config.json").write_text(json.dumps(config | {"image2search": "odd"}))
    assert load(copy).notice is None


def with_weights(source: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(source, target)
    tensors = {name: change(tensor) for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_half_precision_weights_run_in_float32(tiny_clip: Path, tmp_path: Path) -> None:
    half = load(with_weights(tiny_clip, tmp_path / "half", lambda tensor: tensor.half()))
    whole = load(tiny_clip)
    vectors = half.encode_texts(TEXTS)
    assert_unit_rows(vectors, len(TEXTS), 16)
    assert (vectors * whole.encode_texts(TEXTS)).sum(axis=1).min() > 0.999
    assert half.identity.precision == "fp32"
    assert half.identity.fingerprint != whole.identity.fingerprint


@pytest.mark.parametrize("value", [float("nan"), 0.0], ids=["nan", "zero"])
def test_vectors_that_mean_nothing_are_an_error(value: float, tiny_clip: Path, tmp_path: Path) -> None:
    broken = with_weights(tiny_clip, tmp_path / "broken", lambda tensor: tensor * 0 + value)
    with pytest.raises(ModelUnavailable, match="vectors that are no numbers or have no length"):
        load(broken)


def test_towers_of_different_width_are_refused(tiny_siglip: Path, tmp_path: Path) -> None:
    from transformers import SiglipConfig, SiglipModel

    copy = shutil.copytree(tiny_siglip, tmp_path / "uneven")
    config = SiglipConfig.from_pretrained(copy)
    config.text_config.projection_size = 24
    SiglipModel(config).save_pretrained(copy)
    with pytest.raises(ModelUnavailable, match="text vectors of 24 numbers and image vectors of 32"):
        load(copy)


def test_cuda_that_is_asked_for_and_absent_is_an_error(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnavailable, match=r"MODEL_DEVICE=cuda, but PyTorch .* Set MODEL_DEVICE=cpu"):
        load_embedder(ModelSettings(name=str(tiny_clip), device="cuda"))
    automatic = load_embedder(ModelSettings(name=str(tiny_clip), device="auto"))
    assert automatic.identity.runtime == "openvino-cpu"


@pytest.mark.skipif(not has_cuda(), reason="this machine has no CUDA device")
def test_cuda_gives_nearly_the_vectors_of_the_cpu(folder: Path) -> None:
    on_cpu, on_gpu = load(folder), load_embedder(ModelSettings(name=str(folder), device="cuda"))
    assert on_gpu.identity.fingerprint == on_cpu.identity.fingerprint
    assert (on_gpu.identity.precision, on_gpu.identity.runtime) == ("bf16", "torch-cuda")
    for ours, theirs in [
        (on_gpu.encode_texts(TEXTS), on_cpu.encode_texts(TEXTS)),
        (on_gpu.encode_images(pictures()), on_cpu.encode_images(pictures())),
    ]:
        assert_unit_rows(ours, len(ours), on_cpu.identity.dimension)
        assert (ours * theirs).sum(axis=1).min() > 0.99


def test_the_thread_setting_reaches_the_thread_that_runs_the_model(tiny_clip: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        load(tiny_clip, threads=1)
        with ThreadPoolExecutor(1) as worker:
            assert worker.submit(torch.get_num_threads).result() == 1
    finally:
        torch.set_num_threads(before)


def test_loading_is_quiet_and_leaves_the_log_level_alone(
    tiny_clip: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with caplog.at_level(logging.DEBUG, "app"):
        load(tiny_clip)
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_published_siglip_tokenizers_load(tiny_siglip: Path, tmp_path: Path) -> None:
    """SigLIP 1 is published with a sentencepiece model. The test trains one on a few words."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="SigLIP 1 needs sentencepiece and protobuf")
    from tests.support.tiny_models import WORDS

    copy = shutil.copytree(tiny_siglip, tmp_path / "siglip")
    (copy / "tokenizer.json").unlink()
    (tmp_path / "words").write_text("\n".join(WORDS * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "words"),
        model_prefix=str(copy / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=3,
    )
    settings = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 16}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    vectors = load(copy).encode_texts(["Red sofa!", "red sofa", "dog " * 99])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert vectors[0] @ vectors[2] < 0.999
