"""The demo model lies in the repository twice, original and converted to OpenVINO: both give the same vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.models import artifacts
from app.models.agreement import sample_pictures
from app.models.calibration import SAMPLES, calibration_texts, spread
from app.models.checkpoint import CONVERTED, DEMO_FOLDER, Checkpoint
from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.models.inputs import InputPreparer
from app.settings import ImageSettings, ModelSettings

REMEDY = "make it again: `python -m scripts.convert_model`, and commit models/demo-clip/openvino with the model"

LANGUAGES = (
    *("two red apples on the grass", "ein Segelboot bei Nacht", "trois chats noirs sur la neige", "un perro azul"),
    *(
        "日本語の写真",
        "красная машина",
        "سيارة حمراء",
        "🐕‍🦺 dog 👩🏽‍🚀",
        "İstanbul ﬁ ½ ①",
        "half \ud83d",
        "a\x00b",
        "",
        "  ",
    ),
    *("CATS, dogs & 3.5 birds; don't", "every word counts " * 60, "<|endoftext|> <|startoftext|>"),
)


@pytest.fixture(scope="module")
def shipped() -> InputPreparer:
    prepare = InputPreparer.load(DEMO_FOLDER / CONVERTED)
    assert prepare, f"models/demo-clip has no converted form: {REMEDY}"
    return prepare


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEMO_FOLDER)


def load(**changed: Any) -> DualEncoder:
    return load_embedder(ModelSettings(name="demo", device="cpu", precision="fp32", **changed))


def test_the_converted_form_is_intact_and_of_these_weights() -> None:
    fingerprint = Checkpoint("demo", DEMO_FOLDER).fingerprint()
    found = artifacts.find(DEMO_FOLDER / CONVERTED, {"fingerprint": fingerprint})
    assert found, f"models/demo-clip/openvino is damaged, or of other weights than the model beside it: {REMEDY}"


def test_both_forms_give_the_same_vectors(tmp_path: Path) -> None:
    ours, theirs = load(runtime="openvino", cache=tmp_path), load(runtime="torch")
    texts = [text for text in (*LANGUAGES, *calibration_texts()) if text]
    read = theirs.read_picture
    paths = spread(sorted(SAMPLES.rglob("*.jpg")), 40)
    pictures = [*sample_pictures(), Image.new("RGB", (1, 700), "teal")]
    pictures += [read(path.read_bytes(), ImageSettings()).image for path in paths]
    for what, left, right in (
        ("texts", ours.encode_texts(texts), theirs.encode_texts(texts)),
        ("pictures", ours.encode_images(pictures), theirs.encode_images(pictures)),
    ):
        cosine = (left * right).sum(axis=1).min()
        assert cosine > 0.99999, f"the converted form gives other vectors of {what} (cosine {cosine:.6f}): {REMEDY}"


def assert_tokens_of_transformers(shipped: InputPreparer, tokenizer: Any, texts: Sequence[str]) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    expected = tokenizer(clean, padding=True, truncation=True, return_tensors="np")
    found = shipped.texts(texts)
    assert found.keys() == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], REMEDY)


def test_the_shipped_tokens_are_those_of_transformers(shipped: InputPreparer, tokenizer: Any) -> None:
    assert_tokens_of_transformers(shipped, tokenizer, (*LANGUAGES, *calibration_texts()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_the_shipped_tokens_are_those_of_transformers_for_any_text(
    shipped: InputPreparer, tokenizer: Any, texts: list[str]
) -> None:
    assert_tokens_of_transformers(shipped, tokenizer, texts)


def test_the_shipped_pixels_are_those_of_transformers(shipped: InputPreparer) -> None:
    from transformers import AutoImageProcessor

    processor: Any = AutoImageProcessor.from_pretrained(DEMO_FOLDER, backend="pil")
    pictures = [*sample_pictures(), Image.new("RGB", (31, 400), "teal"), Image.new("RGB", (96, 96), "red")]
    found, expected = shipped.images(pictures), processor(pictures, return_tensors="np")
    np.testing.assert_array_equal(found["pixel_values"], expected["pixel_values"], REMEDY)


def test_the_folder_stays_small_enough_for_a_repository() -> None:
    size = sum(path.stat().st_size for path in DEMO_FOLDER.rglob("*") if path.is_file())
    assert size < 25e6
