"""A captioner's folder as its makers published it, read by transformers: image processor, tokenizer, PyTorch network.

BLIP, BLIP-2, GIT and vision encoder-decoders are meant: all that write a sentence about a picture and need no prompt.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Final

from app.models import extra
from app.models.checkpoint import Checkpoint, Role, find_model
from app.models.hugging_face import quiet_transformers, read_preprocessor
from app.models.preprocess import Preprocessor
from app.settings import CaptionSettings

DEMO_FOLDER: Final = Path(__file__).parents[3] / "models" / "demo-captioner"

CAPTIONER: Final = Role(
    "CAPTION_MODEL",
    "CAPTION_REVISION",
    "Set CAPTION_MODEL to `demo`, or to the folder or the name of a Hugging Face image-to-text model (BLIP, BLIP-2,"
    " GIT, vision encoder-decoder), such as Salesforce/blip-image-captioning-base.",
    decides=("generation_config.json",),
)

UNUSED: Final = ("encoder.pooler.",)
"""Weights that captions don't depend on; published vision encoder-decoders lack them."""


def find_captioner(settings: CaptionSettings, *, download: bool = True) -> Checkpoint:
    """The model that `CAPTION_MODEL` names, as `find_model`."""
    return find_model(settings.model, settings.revision, CAPTIONER, demo=DEMO_FOLDER, download=download)


class SourceCaptioner:
    """A captioner in the form in which it was published. Each part is read when it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    @cached_property
    def images(self) -> Preprocessor:
        """What prepares its pictures; the weights are not read for it. Raises ModelUnavailable."""
        self._require_packages()
        with quiet_transformers(), self.checkpoint.translating("its image preprocessing"):
            return read_preprocessor(self.checkpoint.folder)

    @cached_property
    def tokenizer(self) -> Any:
        """A class of transformers. Raises ModelUnavailable."""
        self._require_packages()
        from transformers import AutoTokenizer

        with quiet_transformers(), self.checkpoint.translating("its tokenizer"):
            return AutoTokenizer.from_pretrained(self.checkpoint.folder, local_files_only=True, trust_remote_code=False)

    def load_network(self) -> Any:
        """The PyTorch network, in float32, ready to generate. Raises ModelUnavailable."""
        self._require_packages()
        import torch
        from transformers import AutoModelForImageTextToText
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        kind = self.checkpoint.config.get("model_type")
        if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            raise self.checkpoint.unavailable(f"it is a model of the kind {kind}, which writes no captions")
        with quiet_transformers(), self.checkpoint.translating("its weights"):
            network, loading = AutoModelForImageTextToText.from_pretrained(
                self.checkpoint.folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        missing = sorted(name for name in loading["missing_keys"] if not name.startswith(UNUSED))
        if missing:
            raise self.checkpoint.unavailable(
                f"its weights lack {len(missing)} tensors, {missing[0]} among them; they would get random numbers"
            )
        return network.eval()

    def _require_packages(self) -> None:
        name = self.checkpoint.name
        extra.require(extra.NETWORK, f"The captioner {name} in its original form", "CAPTION_MODEL=demo")


def tidy(text: str) -> str:
    """A caption as records have it: one line, without space around it."""
    return " ".join(text.split())
