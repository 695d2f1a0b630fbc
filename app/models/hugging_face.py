"""A model's folder as its makers published it, read by transformers: tokenizer, image processor, PyTorch network.

transformers and PyTorch take seconds to import, so the functions import them. A converted model starts without both.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from app.models import extra
from app.models.base import ModelInputs
from app.models.checkpoint import Checkpoint
from app.models.inputs import TOKEN_FIELDS, InputPreparer, TextTokenizer, Tokenize, clean
from app.models.preprocess import Preprocessor

SCALARS: Final = frozenset({"logit_scale", "logit_bias"})
"""Weights that only training needs; a checkpoint may lack them."""

TIPSV2: Final = {
    **{"do_resize": True, "size": {"height": 448, "width": 448}, "resample": 2, "do_convert_rgb": True},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False},
}
"""What transformers' `Tipsv2ImageProcessor` does where a model's file does not say otherwise."""

_BLANK: Final = Image.new("RGB", (64, 64), "white")

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
"""Two tokenizers that differ at all differ on some of these."""


class SourceModel:
    """A model in the form in which it was published. Each part is read when it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @cached_property
    def prepare(self) -> InputPreparer:
        """What makes the towers' inputs; the weights are not read for it. Raises ModelUnavailable."""
        self._require_packages()
        from transformers import AutoConfig, AutoTokenizer

        folder = self._checkpoint.folder
        with quiet_transformers():
            with self._checkpoint.translating("its configuration"):
                config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            with self._checkpoint.translating("its tokenizer"):
                tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
                texts = tokenizer_of(tokenizer, config)
            with self._checkpoint.translating("its image preprocessing"):
                images = read_preprocessor(folder)
        return InputPreparer(texts, images)

    def load_network(self) -> Any:
        """The PyTorch network, in float32. Raises ModelUnavailable."""
        self._require_packages()
        import torch
        from transformers import AutoModel

        with quiet_transformers(), self._checkpoint.translating("its weights"):
            network, loading = AutoModel.from_pretrained(
                self._checkpoint.folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        if not (hasattr(network, "get_text_features") and hasattr(network, "get_image_features")):
            raise self._checkpoint.unavailable(
                f"it is a {type(network).__name__}, not a dual encoder with a text tower and an image tower"
            )
        if missing := sorted(set(loading["missing_keys"]) - SCALARS):
            raise self._checkpoint.unavailable(
                f"its weights lack {len(missing)} tensors, {missing[0]} among them; they would get random numbers"
            )
        for kind, inputs in (("text", self.prepare.texts(["a"])), ("image", self.prepare.images([_BLANK]))):
            self._check_tower(network, kind, inputs)
        return network

    def _require_packages(self) -> None:
        extra.require(extra.NETWORK, f"The model {self._checkpoint.name} in its original form", "MODEL=demo")

    def _check_tower(self, network: Any, kind: str, inputs: ModelInputs) -> None:
        """Raises ModelUnavailable unless the tower makes one vector of one text or picture.

        FLAVA makes one of each token, and BLIP-2 of a text none at all.
        """
        import torch

        with self._checkpoint.translating(f"a first {kind}"), torch.inference_mode():
            tower = getattr(network, f"get_{kind}_features")
            output = tower(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        vectors = output if isinstance(output, torch.Tensor) else getattr(output, "pooler_output", None)
        if vectors is None or vectors.ndim != 2:
            found = "no vector" if vectors is None else f"an array of shape {tuple(vectors.shape)}"
            raise self._checkpoint.unavailable(
                f"it is a {type(network).__name__}, whose {kind} tower makes {found} of one {kind}, and not one vector"
            )


def read_preprocessor(folder: Path) -> Preprocessor:
    """From a model folder. Pillow always does the resize, so that machines with torchvision get the same vectors."""
    from transformers import AutoImageProcessor, SiglipImageProcessorPil

    simple: Any = SiglipImageProcessorPil
    settings, _ = simple.get_image_processor_dict(folder, local_files_only=True)
    if settings.get("image_processor_type") == "Tipsv2ImageProcessor":  # transformers has it for torchvision alone
        return Preprocessor.of(simple.from_dict({**TIPSV2, **settings}))
    auto: Any = AutoImageProcessor
    return Preprocessor.of(auto.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False))


def tokenizer_of(tokenizer: Any, config: Any) -> Tokenize:
    """A tokenizer of transformers, reduced to the tokenizers library below it when that gives the same tokens."""
    whole = _WholeTokenizer(tokenizer, config)
    batches = [TRICKY_TEXTS, *([text] for text in TRICKY_TEXTS)]
    expected = [whole(batch) for batch in batches]
    library = getattr(tokenizer, "backend_tokenizer", None)  # `whole` has set its padding and truncation
    if library is None or not TOKEN_FIELDS.keys() >= expected[0].keys():
        return whole
    ours = TextTokenizer(Tokenizer.from_str(library.to_str()), list(expected[0]), lowers=whole.lowers)
    same = all(
        ours(batch).keys() == tokens.keys()
        and all(np.array_equal(array, tokens[name]) for name, array in ours(batch).items())
        for batch, tokens in zip(batches, expected, strict=True)
    )
    return ours if same else whole


class _WholeTokenizer:
    """Transformers' class with the padding, case and length that the model was trained with. Thread-safe."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self.lowers = config.model_type in ("siglip", "siglip2")
        """SigLIP was trained on lower-case texts, padded to full length without mask (big_vision, `siglip` configs)."""
        self._max_length = _context_length(tokenizer, config)
        self._one_at_a_time = Lock()
        """Each call sets the padding and truncation of the library below."""

    def __call__(self, texts: Sequence[str]) -> ModelInputs:
        with self._one_at_a_time:
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
    """The number of tokens for which the text tower has positions."""
    text_config = getattr(config, "text_config", config)
    positions = int(getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    if "roberta" in text_config.model_type or text_config.model_type == "camembert":
        positions -= text_config.pad_token_id + 1  # RoBERTa counts positions from the padding id on
    return min(positions, int(tokenizer.model_max_length))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turns off transformers' progress bars and warnings; errors are still logged."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
