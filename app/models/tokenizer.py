"""Texts to what a model's text tower eats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from app.models.base import ModelInputs


class TextTokenizer:
    """A model's tokenizer with the padding, case and length that the model was trained with."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self._is_siglip = config.model_type in ("siglip", "siglip2")
        self._max_length = _context_length(tokenizer, config)

    @classmethod
    def from_pretrained(cls, folder: Path, config: Any) -> "TextTokenizer":
        """From a model folder, whose `config.json` is `config`."""
        return cls(AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False), config)

    def __call__(self, texts: Sequence[str]) -> ModelInputs:
        """`input_ids` (N, T) int64, T the longest text's length, and `attention_mask`.

        SigLIP saw lower-case text padded to full length, the padding unmasked (big_vision, `siglip` configs).
        """
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = self._tokenizer(
            [text.lower() for text in clean] if self._is_siglip else clean,
            padding="max_length" if self._is_siglip else True,
            truncation=True,
            max_length=self._max_length,
            return_tensors="np",
        )
        wanted = ("input_ids",) if self._is_siglip else tuple(tokens)
        return {name: np.ascontiguousarray(tokens[name], np.int64) for name in wanted}


def _context_length(tokenizer: Any, config: Any) -> int:
    """Tokens the text tower has positions for."""
    text_config = getattr(config, "text_config", config)
    positions = int(getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    if "roberta" in text_config.model_type or text_config.model_type == "camembert":
        positions -= text_config.pad_token_id + 1  # RoBERTa counts positions from the padding id on
    return min(positions, int(tokenizer.model_max_length))
