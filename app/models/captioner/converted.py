"""A captioner converted to OpenVINO: two graphs, a tokenizer file and facts. It needs no PyTorch, no transformers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from app.models.captioner.decoding import Logits, Search, Tokens
from app.models.captioner.source import tidy
from app.models.openvino.core import CORE
from app.models.preprocess import Preprocessor
from app.pictures.resize import Resize
from app.settings import CaptionSettings

FACTS: Final = "captioner.json"
TOKENIZER: Final = "tokenizer.json"
PICTURE: Final = "picture.xml"
WORDS: Final = "words.xml"


@dataclass(frozen=True)
class Facts:
    """What a converted captioner knows besides its graphs."""

    images: Mapping[str, Any]
    """As `Preprocessor.facts`."""
    start: int
    ends: tuple[int, ...]
    room: int
    """Tokens for which the decoder has positions."""
    length_penalty: float

    @classmethod
    def load(cls, folder: Path) -> "Facts":
        fields = json.loads((folder / FACTS).read_bytes())
        return cls(**{**fields, "ends": tuple(fields["ends"])})

    @property
    def preprocessor(self) -> Preprocessor:
        return Preprocessor.from_facts(self.images)


class ConvertedCaptioner:
    """The `Captioner` of a folder that `tracing.write_captioner` has written. Not thread-safe."""

    def __init__(self, name: str, folder: Path, settings: CaptionSettings, precision: str) -> None:
        """`precision` as OpenVINO calls it: f32 or bf16."""
        facts = Facts.load(folder)
        self.name = name
        self.runtime = f"{'fp32' if precision == 'f32' else precision} openvino-cpu"
        self._images = facts.preprocessor
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        self._picture = CORE.compile_model(folder / PICTURE, "CPU", options).create_infer_request()
        self._words = CORE.compile_model(folder / WORDS, "CPU", options).create_infer_request()
        self._batch_size = settings.batch_size
        max_tokens = min(settings.max_tokens, facts.room)
        self._search = Search(facts.start, facts.ends, max_tokens, settings.beams, facts.length_penalty)

    @property
    def resize(self) -> Resize:
        """As `Captioner.resize`."""
        return self._images.resize

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """As `Captioner.caption`."""
        size = self._batch_size
        return [text for start in range(0, len(images), size) for text in self._pass(images[start : start + size])]

    def _pass(self, images: Sequence[Image.Image]) -> list[str]:
        pixels = self._images(images)["pixel_values"]
        seen = np.array(self._picture.infer({"pixel_values": pixels}, share_inputs=True)[0])
        texts = self._search.run(_Words(self._words, seen), len(images))
        return [tidy(text) for text in self._tokenizer.decode_batch(texts, skip_special_tokens=True)]


class _Words:
    """The `NextLogits` of some pictures."""

    def __init__(self, request: Any, seen: NDArray[np.float32]) -> None:
        """`seen` is what the picture graph says of all of them."""
        self._request, self._all = request, seen
        self._of, self._seen = np.arange(len(seen)), seen

    def __call__(self, pictures: NDArray[np.intp], tokens: Tokens) -> Logits:
        if not np.array_equal(pictures, self._of):
            self._of, self._seen = pictures, self._all[pictures]
        logits: Logits = self._request.infer({"seen": self._seen, "tokens": tokens}, share_inputs=True)[0]
        return np.array(logits)
