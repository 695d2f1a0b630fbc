"""Texts and pictures to unit vectors in one shared space."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from app.errors import ModelUnavailable
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.preprocess import Preprocessor
from app.settings import ModelSettings
from app.types import ModelIdentity, Vectors

FORWARD_SIZE: Final = 64
"""Most texts or pictures in one pass through the network; longer lists go in several."""

SCALARS: Final = frozenset({"logit_scale", "logit_bias"})
"""Weights that only training needs; a checkpoint may lack them."""

Item = TypeVar("Item")


class TextTokenizer:
    """A model's tokenizer with the padding, case and length that the model was trained with."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self._is_siglip = config.model_type in ("siglip", "siglip2")
        self._max_length = _context_length(tokenizer, config)

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """SigLIP saw lower-case text padded to full length, the padding unmasked (big_vision, `siglip` configs)."""
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = self._tokenizer(
            [text.lower() for text in clean] if self._is_siglip else clean,
            padding="max_length" if self._is_siglip else True,
            truncation=True,
            max_length=self._max_length,
            return_tensors="pt",
        )
        return {"input_ids": tokens["input_ids"]} if self._is_siglip else dict(tokens)


def _context_length(tokenizer: Any, config: Any) -> int:
    """Tokens the text tower has positions for."""
    text_config = getattr(config, "text_config", config)
    positions = int(getattr(text_config, "max_position_embeddings", tokenizer.model_max_length))
    if "roberta" in text_config.model_type or text_config.model_type == "camembert":
        positions -= text_config.pad_token_id + 1  # RoBERTa counts positions from the padding id on
    return min(positions, int(tokenizer.model_max_length))


class TorchEmbedder:
    """Any Hugging Face dual encoder, run by PyTorch on the CPU in float32 or on CUDA in bfloat16. Not thread-safe."""

    def __init__(
        self, model: Any, tokenizer: TextTokenizer, preprocessor: Preprocessor, checkpoint: Checkpoint, device: str
    ) -> None:
        self._model = model.to(device).eval()
        self._tokenizer = tokenizer
        self._preprocessor = preprocessor
        self._device = device
        self._name = checkpoint.name
        self._bf16 = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self.notice = checkpoint.notice
        self.identity = ModelIdentity(
            name=checkpoint.name,
            fingerprint=checkpoint.fingerprint(),
            dimension=self._probe(),
            precision="bf16" if self._bf16 else "fp32",
            runtime=f"torch-{device}",
        )

    @classmethod
    def load(cls, settings: ModelSettings) -> "TorchEmbedder":
        """The model that the settings name. Raises `ModelUnavailable` saying what was tried and what to set."""
        device = _choose_device(settings.device)
        if device == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 for what autocast leaves in float32
        if settings.threads:
            torch.set_num_threads(settings.threads)
        checkpoint = find_checkpoint(settings)
        checkpoint.check()
        with _quiet():
            model = _load_model(checkpoint)
            with _translated(checkpoint, "its tokenizer"):
                tokenizer = AutoTokenizer.from_pretrained(
                    checkpoint.folder, local_files_only=True, trust_remote_code=False
                )
            with _translated(checkpoint, "its image preprocessing"):
                preprocessor = Preprocessor.from_pretrained(checkpoint.folder)
            with _translated(checkpoint, "a first text and picture"):
                return cls(model, TextTokenizer(tokenizer, model.config), preprocessor, checkpoint, device)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(N, D) float32 unit rows; a text beyond the model's context is cut by the tokenizer."""
        return self._in_passes(texts, lambda part: self._forward(self._model.get_text_features, self._tokenizer(part)))

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """(N, D) float32 unit rows of RGB pictures, as `decoding.decode_image` makes them."""
        return self._in_passes(images, self._encode_image_pass)

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture at the size the model looks at it: same vector, less memory. Thread-safe."""
        return self._preprocessor.shrink(image)

    def _encode_image_pass(self, images: Sequence[Image.Image]) -> Vectors:
        inputs = {name: torch.from_numpy(array) for name, array in self._preprocessor(images).items()}
        return self._forward(self._model.get_image_features, inputs)

    def _in_passes(self, items: Sequence[Item], encode: Callable[[Sequence[Item]], Vectors]) -> Vectors:
        if not items:
            return np.empty((0, self.identity.dimension), np.float32)
        starts = range(0, len(items), FORWARD_SIZE)
        return np.concatenate([encode(items[start : start + FORWARD_SIZE]) for start in starts])

    @torch.inference_mode()
    def _forward(self, tower: Callable[..., Any], inputs: Mapping[str, torch.Tensor]) -> Vectors:
        on_device = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._bf16):
            output = tower(**on_device)
        features = output if isinstance(output, torch.Tensor) else output.pooler_output
        return self._unit_rows(features.float())

    def _unit_rows(self, features: torch.Tensor) -> Vectors:
        lengths = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
        if not bool(torch.all(torch.isfinite(lengths) & (lengths > 0))):
            raise ModelUnavailable(
                f"The model {self._name} gave vectors that are no numbers or have no length; its weights may be"
                f" damaged, or too large for the arithmetic of {self._device}. Download it again, or set"
                " MODEL_DEVICE=cpu."
            )
        rows: Vectors = (features / lengths).cpu().numpy()
        return rows

    def _probe(self) -> int:
        """The dimension D, found by embedding one text and two pictures of different shapes."""
        text = self._forward(self._model.get_text_features, self._tokenizer(["a picture"]))
        image = self._encode_image_pass([Image.new("RGB", (64, 48), "white"), Image.new("RGB", (48, 64), "black")])
        if text.shape[-1] != image.shape[-1]:
            raise ModelUnavailable(
                f"The model {self._name} makes text vectors of {text.shape[-1]} numbers and image vectors of"
                f" {image.shape[-1]}: they can't be compared. Set MODEL to a dual encoder such as CLIP or SigLIP."
            )
        return int(text.shape[-1])


def _choose_device(wanted: str) -> str:
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ModelUnavailable(
            f"MODEL_DEVICE=cuda, but PyTorch {torch.__version__} finds no CUDA device. Set MODEL_DEVICE=cpu, or install"
            " a CUDA build of PyTorch and the NVIDIA driver."
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def _load_model(checkpoint: Checkpoint) -> Any:
    with _translated(checkpoint, "its weights"):
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
def _translated(checkpoint: Checkpoint, what: str) -> Iterator[None]:
    """Whatever transformers raises over a folder, as `ModelUnavailable`."""
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise checkpoint.unavailable(f"{what} can't be loaded ({lines[0]})") from error


@contextmanager
def _quiet() -> Iterator[None]:
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
