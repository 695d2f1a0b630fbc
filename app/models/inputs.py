"""Texts and pictures to what a model's towers eat: the one path that queries and the index take."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.models.preprocess import Preprocessor
from app.models.tokenizer import TextTokenizer, Tokenize

FACTS: Final = "preparation.json"


@dataclass(frozen=True)
class Preparation:
    """Both are called with a sequence and answer `ModelInputs`."""

    texts: Tokenize
    images: Preprocessor

    def save(self, folder: Path) -> None:
        """Write what `load` needs; nothing where a part has no other form than transformers' own classes."""
        if isinstance(self.texts, TextTokenizer) and (images := self.images.facts()):
            (folder / FACTS).write_text(json.dumps({"texts": self.texts.save(folder), "images": images}))

    @classmethod
    def load(cls, folder: Path) -> "Preparation | None":
        """What was saved, to the same numbers; None where nothing was."""
        if not (folder / FACTS).is_file():
            return None
        facts = json.loads((folder / FACTS).read_bytes())
        return cls(TextTokenizer.load(folder, facts["texts"]), Preprocessor.from_facts(facts["images"]))
