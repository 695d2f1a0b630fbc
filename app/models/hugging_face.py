"""A model's folder to what prepares texts and pictures for it, and to a PyTorch network, by transformers."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from app.models.base import ModelInputs
from app.models.checkpoint import Checkpoint
from app.models.inputs import Preparation
from app.models.preprocess import Preprocessor
from app.models.tokenizer import PARTS, TextTokenizer, Tokenize, clean

SCALARS: Final = frozenset({"logit_scale", "logit_bias"})
"""Weights that only training needs; a checkpoint may lack them."""

TRICKY_TEXTS: Final = (
    *("", "a", "A photo of a DOG, barking!", "  two   spaces\tand\nlines ", "naïve café, Ünïcödé, ß, İstanbul"),
    *(
        "日本語の写真",
        "🐕‍🦺 dog 👩🏽‍🚀",
        "<|endoftext|> </s> [SEP] <pad>",
        "e\u0301 é ﬁ ½ ①",
        "half \ud83d",
        "it's 3.5 mm; don't",
    ),
    *("\u200bzero\x00width\ufeff", "supercalifragilisticexpialidocious" * 3, "every word counts " * 60),
)
"""On which tokenizers differ, if they do."""


def read_preparation(checkpoint: Checkpoint) -> Preparation:
    """As a model's folder says. Raises ModelUnavailable."""
    with quiet_transformers():
        with checkpoint.translating("its configuration"):
            config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        with checkpoint.translating("its tokenizer"):
            whole: Any = AutoTokenizer.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
            texts = tokenizer_of(whole, config)
        with checkpoint.translating("its image preprocessing"):
            images = read_preprocessor(checkpoint.folder)
    return Preparation(texts, images)


def read_preprocessor(folder: Path) -> Preprocessor:
    """From a model folder; always Pillow's resize, so that a machine with torchvision gets the same vectors."""
    auto: Any = AutoImageProcessor
    return Preprocessor.of(auto.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False))


def tokenizer_of(tokenizer: Any, config: Any) -> Tokenize:
    """Transformers' tokenizer as the library's beneath it, where that gives the same tokens."""
    whole = _WholeTokenizer(tokenizer, config)
    batches = [TRICKY_TEXTS, *([text] for text in TRICKY_TEXTS)]
    expected = [whole(batch) for batch in batches]
    beneath = getattr(tokenizer, "backend_tokenizer", None)  # pads and truncates as it was asked to last
    if beneath is None or not PARTS.keys() >= expected[0].keys():
        return whole
    ours = TextTokenizer(Tokenizer.from_str(beneath.to_str()), list(expected[0]), lowers=whole.lowers)
    same = all(
        ours(batch).keys() == tokens.keys()
        and all(np.array_equal(array, tokens[name]) for name, array in ours(batch).items())
        for batch, tokens in zip(batches, expected, strict=True)
    )
    return ours if same else whole


class _WholeTokenizer:
    """Transformers' class with the padding, case and length that the model was trained with."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self.lowers = config.model_type in ("siglip", "siglip2")
        """SigLIP saw lower-case text padded to full length, the padding unmasked (big_vision, `siglip` configs)."""
        self._max_length = _context_length(tokenizer, config)

    def __call__(self, texts: Sequence[str]) -> ModelInputs:
        tokens = self._tokenizer(
            [clean(text, lowers=self.lowers) for text in texts],
            padding="max_length" if self.lowers else True,
            truncation=True,
            max_length=self._max_length,
            return_tensors="np",
        )
        wanted = ("input_ids",) if self.lowers else tuple(tokens)
        return {name: np.ascontiguousarray(tokens[name], np.int64) for name in wanted}


def _context_length(tokenizer: Any, config: Any) -> int:
    """Tokens the text tower has positions for."""
    text_config = getattr(config, "text_config", config)
    positions = int(getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    if "roberta" in text_config.model_type or text_config.model_type == "camembert":
        positions -= text_config.pad_token_id + 1  # RoBERTa counts positions from the padding id on
    return min(positions, int(tokenizer.model_max_length))


def load_model(checkpoint: Checkpoint) -> Any:
    """The network of a model folder, in float32. Raises ModelUnavailable."""
    with quiet_transformers(), checkpoint.translating("its weights"):
        model, loading = AutoModel.from_pretrained(
            checkpoint.folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if not (hasattr(model, "get_text_features") and hasattr(model, "get_image_features")):
        raise checkpoint.unavailable(
            f"it is a {type(model).__name__}, not a dual encoder with a text tower and an image tower"
        )
    if missing := sorted(set(loading["missing_keys"]) - SCALARS):
        raise checkpoint.unavailable(
            f"its weights lack {len(missing)} tensors, {missing[0]} among them, which would be left to chance"
        )
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and remarks; errors still come through."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
