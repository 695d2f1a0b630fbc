"""The inputs of a converted model's towers are those that transformers makes, to the last bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.models.base import ModelInputs
from app.models.checkpoint import DEMO_FOLDER, Checkpoint
from app.models.hugging_face import SourceModel, tokenizer_of
from app.models.inputs import InputPreparer, TextTokenizer

ROOT = Path(__file__).parents[2]
KINDS = ["tiny_clip", "tiny_siglip", "tiny_siglip2", "tiny_vision_text", "demo"]

LOAD = """
import sys
from pathlib import Path
from app.bootstrap import load_embedder
from app.settings import ModelSettings
load_embedder(ModelSettings(name=sys.argv[1], cache=Path(sys.argv[2]))).encode_texts(["a dog"])
print(*sorted({"torch", "transformers", "huggingface_hub", "nncf"} & sys.modules.keys()))
"""


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(kind: str, request: pytest.FixtureRequest) -> Path:
    return DEMO_FOLDER if kind == "demo" else request.getfixturevalue(kind)


@pytest.fixture(scope="module")
def prepare(folder: Path) -> InputPreparer:
    return SourceModel(Checkpoint("a model", folder)).prepare


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def assert_same(ours: ModelInputs, theirs: ModelInputs) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, theirs[name])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_tokens_are_those_of_transformers(prepare: InputPreparer, reference: Any, kind: str, texts: list[str]) -> None:
    lowers = "siglip" in kind
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    expected = reference(
        [text.lower() for text in clean] if lowers else clean,
        padding="max_length" if lowers else True,
        truncation=True,
        return_tensors="np",
    )
    assert isinstance(prepare.texts, TextTokenizer)
    found = prepare.texts(texts)
    assert found.keys() == ({"input_ids"} if lowers else set(expected))
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


def test_what_was_saved_prepares_the_same(prepare: InputPreparer, kind: str, tmp_path: Path) -> None:
    prepare.save(tmp_path)
    again = InputPreparer.load(tmp_path)
    if kind == "tiny_siglip2":  # only transformers' class makes its patches and masks
        assert again is None
        assert list(tmp_path.iterdir()) == []
        return
    assert again is not None
    texts = ["A dog", "two children playing football in the park " * 9, "naïve 日本語 🐕 <|endoftext|>"]
    assert_same(again.texts(texts), prepare.texts(texts))
    noise = np.random.default_rng(3).integers(0, 256, (70, 133, 3), np.uint8)
    pictures = [Image.fromarray(noise), Image.new("RGB", (31, 400), "teal")]
    assert_same(again.images(pictures), prepare.images(pictures))


def test_a_tokenizer_that_does_more_than_the_library_beneath_stays_transformers_own(tiny_clip: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_clip)

    class Reversing:
        """Changes texts in Python, which the library below does not do."""

        model_max_length = tokenizer.model_max_length
        backend_tokenizer = tokenizer.backend_tokenizer

        def __call__(self, texts: list[str], **options: Any) -> Any:
            return tokenizer([text[::-1] for text in texts], **options)

    texts = tokenizer_of(Reversing(), AutoConfig.from_pretrained(tiny_clip))
    assert not isinstance(texts, TextTokenizer)
    np.testing.assert_array_equal(texts(["god"])["input_ids"], tokenizer(["dog"], return_tensors="np")["input_ids"])


def test_a_second_start_imports_neither_torch_nor_transformers(tiny_clip: Path, converted_cache: Path) -> None:
    """Importing them takes most of the time and memory of a start."""
    command = [sys.executable, "-c", LOAD, str(tiny_clip), str(converted_cache)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert second.stdout.split() == []


def test_how_texts_may_be_padded_is_known_from_the_tokenizer(tiny_clip: Path, tiny_siglip: Path) -> None:
    prepare = SourceModel(Checkpoint("tiny", tiny_clip)).prepare
    padding = prepare.padding
    assert padding is not None
    assert padding.longest == 24
    short, long = prepare.texts(["a dog"]), prepare.texts(["a dog", "two children playing football in the park"])
    for name, array in short.items():
        added = long[name].shape[1] - array.shape[1]
        longer = np.pad(array, ((0, 0), (0, added)), constant_values=padding.values[name])
        np.testing.assert_array_equal(longer[0], long[name][0])
    assert SourceModel(Checkpoint("tiny", tiny_siglip)).prepare.padding is None
