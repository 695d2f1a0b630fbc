"""Texts to what a model's text tower eats, by the tokenizer file that models ship with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from app.models.base import ModelInputs

Tokenize: TypeAlias = Callable[[Sequence[str]], ModelInputs]

TOKENIZER: Final = "tokenizer.json"

PARTS: Final = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}
"""A model's name for each thing that is known of a token, and the library's."""


class TextTokenizer:
    """The case, padding and length that a model was trained with. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, inputs: Sequence[str], *, lowers: bool) -> None:
        """The tokenizer pads and truncates as it is to; `inputs` are some of PARTS."""
        self._tokenizer, self._inputs, self._lowers = tokenizer, tuple(inputs), lowers

    def __call__(self, texts: Sequence[str]) -> ModelInputs:
        """`input_ids` (N, T) int64, T the longest text's length, and what the model wants beside them."""
        found = self._tokenizer.encode_batch([clean(text, lowers=self._lowers) for text in texts])
        return {name: np.array([getattr(each, PARTS[name]) for each in found], np.int64) for name in self._inputs}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write TOKENIZER; answers what else `load` needs."""
        self._tokenizer.save(str(folder / TOKENIZER), pretty=False)
        return {"inputs": self._inputs, "lowers": self._lowers}

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> "TextTokenizer":
        return cls(Tokenizer.from_file(str(folder / TOKENIZER)), facts["inputs"], lowers=facts["lowers"])


def clean(text: str, *, lowers: bool) -> str:
    """Without what UTF-8 can't say, halves of surrogate pairs."""
    text = text.encode("utf-8", "replace").decode()
    return text.lower() if lowers else text
