"""Texts and pictures to the arrays that a model's towers take. Queries and the index share this one path.

`InputPreparer.texts` tokenizes, `InputPreparer.images` preprocesses. Both can be saved beside a converted model, so
that later starts need no transformers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from app.models.base import ModelInputs
from app.models.preprocess import Preprocessor

Tokenize: TypeAlias = Callable[[Sequence[str]], ModelInputs]

TOKENIZER: Final = "tokenizer.json"
FACTS: Final = "preparation.json"

TOKEN_FIELDS: Final = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}
"""The names of a text tower's inputs, and of the same fields in the tokenizers library."""


@dataclass(frozen=True)
class Padding:
    """How texts may be made longer on the right without a change of their vectors."""

    values: Mapping[str, int]
    """What the added columns of each input hold."""
    longest: int
    """The model's context, in tokens."""


class TextTokenizer:
    """A tokenizer file with the case, padding and length that the model was trained with. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, inputs: Sequence[str], *, lowers: bool) -> None:
        """Padding and truncation must be set in `tokenizer`. `inputs` are keys of TOKEN_FIELDS."""
        self._tokenizer, self._inputs, self._lowers = tokenizer, tuple(inputs), lowers

    def __call__(self, texts: Sequence[str]) -> ModelInputs:
        """`input_ids` (N, T) int64 and the model's other inputs; T is the length of the longest text."""
        found = self._tokenizer.encode_batch([clean(text, lowers=self._lowers) for text in texts])
        return {
            name: np.array([getattr(each, TOKEN_FIELDS[name]) for each in found], np.int64) for name in self._inputs
        }

    @property
    def padding(self) -> Padding | None:
        """None where padding is no matter of free choice: without a mask, on the left, or always to the same length."""
        said, cut = self._tokenizer.padding, self._tokenizer.truncation
        if (
            not said
            or not cut
            or said["direction"] != "right"
            or said["length"]
            or "attention_mask" not in self._inputs
        ):
            return None
        values = {"input_ids": said["pad_id"], "token_type_ids": said["pad_type_id"], "attention_mask": 0}
        return Padding(values, cut["max_length"])

    def save(self, folder: Path) -> dict[str, Any]:
        """Write TOKENIZER into the folder; returns the other facts that `load` needs. Raises OSError."""
        (folder / TOKENIZER).write_text(self._tokenizer.to_str(), "utf-8")  # its own `save` raises a bare Exception
        return {"inputs": self._inputs, "lowers": self._lowers}

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> "TextTokenizer":
        return cls(Tokenizer.from_file(str(folder / TOKENIZER)), facts["inputs"], lowers=facts["lowers"])


def clean(text: str, *, lowers: bool) -> str:
    """The text without halves of surrogate pairs, which UTF-8 can't express; in lower case if `lowers`."""
    text = text.encode("utf-8", "replace").decode()
    return text.lower() if lowers else text


@dataclass(frozen=True)
class InputPreparer:
    """Makes the inputs of both towers. Thread-safe."""

    texts: Tokenize
    images: Preprocessor

    @property
    def padding(self) -> Padding | None:
        """As `TextTokenizer.padding`; None for a class of transformers."""
        return self.texts.padding if isinstance(self.texts, TextTokenizer) else None

    def save(self, folder: Path) -> None:
        """Write what `load` needs. Writes nothing when one of the two exists only as a class of transformers."""
        if isinstance(self.texts, TextTokenizer) and (images := self.images.facts()):
            (folder / FACTS).write_text(json.dumps({"texts": self.texts.save(folder), "images": images}))

    @classmethod
    def load(cls, folder: Path) -> "InputPreparer | None":
        """What was saved; it makes the same numbers, bit for bit. None when nothing was saved."""
        if not (folder / FACTS).is_file():
            return None
        facts = json.loads((folder / FACTS).read_bytes())
        return cls(TextTokenizer.load(folder, facts["texts"]), Preprocessor.from_facts(facts["images"]))
