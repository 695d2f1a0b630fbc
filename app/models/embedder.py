"""Texts and pictures to unit vectors in one shared space."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from PIL import Image

from app.errors import ModelUnavailable
from app.models.base import ModelInputs, Towers
from app.models.checkpoint import Checkpoint
from app.models.inputs import InputPreparer
from app.pictures.decoding import ReadPicture
from app.types import ModelIdentity, Vectors

FORWARD_SIZE: Final = 64
"""Most texts or pictures in one pass through the network. Longer lists take several passes."""

VISION_TRANSFORMERS: Final = frozenset(
    {
        *("clip", "clip_vision_model", "siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model"),
        *("altclip", "chinese_clip", "metaclip_2", "clipseg", "blip", "groupvit"),
        *("vit", "deit", "beit", "dinov2"),
    }
)
"""Of `model_type` in `config.json`, of a dual encoder or of its image tower."""

Item = TypeVar("Item")


class DualEncoder:
    """The `Embedder` for any Hugging Face dual encoder, in any runtime. Not thread-safe."""

    def __init__(self, checkpoint: Checkpoint, prepare: InputPreparer, towers: Towers) -> None:
        """Raises ModelUnavailable when the vectors of the two towers can't be compared."""
        self.prepare, self._towers = prepare, towers
        self._name, self.notice = checkpoint.name, checkpoint.notice
        self.has_patches = is_vision_transformer(checkpoint.config)
        with checkpoint.translating("a first text and picture"):
            dimension = self._probe()
        self.identity = ModelIdentity(
            name=checkpoint.name,
            fingerprint=checkpoint.fingerprint(),
            dimension=dimension,
            precision=towers.precision,
            runtime=towers.runtime,
            agreement=towers.agreement,
        )

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.encode_texts`."""
        return self._in_passes(texts, self.prepare.texts, self._towers.encode_texts)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """As `Embedder.encode_images`."""
        return self._in_passes(images, self.prepare.images, self._towers.encode_images)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """As `Embedder.count_tokens`. Where the model has no mask, it reads the padding too."""
        inputs = self.prepare.texts(texts)
        return int(inputs["attention_mask"].sum() if "attention_mask" in inputs else inputs["input_ids"].size)

    @property
    def read_picture(self) -> ReadPicture:
        """As `Embedder.read_picture`."""
        return self.prepare.images.read_picture

    def _in_passes(
        self,
        items: Sequence[Item],
        prepare: Callable[[Sequence[Item]], ModelInputs],
        forward: Callable[[ModelInputs], Vectors],
    ) -> Vectors:
        if not items:
            return np.empty((0, self.identity.dimension), np.float32)
        passes = (items[start : start + FORWARD_SIZE] for start in range(0, len(items), FORWARD_SIZE))
        return np.concatenate([self._unit_rows(forward(prepare(part))) for part in passes])

    def _unit_rows(self, features: Vectors) -> Vectors:
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(features, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ModelUnavailable(
                f"The model {self._name} gave vectors that are no numbers or have no length. Its weights may be"
                f" damaged, or too large for {self._towers.precision} in {self._towers.runtime}. Download it again, or"
                " set MODEL_DEVICE=cpu and PRECISION=fp32."
            )
        rows: Vectors = features / lengths
        return rows

    def _probe(self) -> int:
        """The dimension D of the vectors. Embeds one text and two pictures of different shapes to find it."""
        pictures = [Image.new("RGB", (64, 48), "white"), Image.new("RGB", (48, 64), "black")]
        text = self._unit_rows(self._towers.encode_texts(self.prepare.texts(["a picture"])))
        image = self._unit_rows(self._towers.encode_images(self.prepare.images(pictures)))
        if text.ndim != 2 or image.ndim != 2 or text.shape[-1] != image.shape[-1]:
            raise ModelUnavailable(
                f"The model {self._name} makes text vectors of {text.shape[-1]} numbers and image vectors of"
                f" {image.shape[-1]}, so they can't be compared. Set MODEL to a dual encoder such as CLIP or SigLIP."
            )
        return int(text.shape[-1])


def is_vision_transformer(config: Mapping[str, Any]) -> bool:
    """Whether a dual encoder's `config.json` says that its image tower is a Vision Transformer."""
    tower = config.get("vision_config")
    named = tower.get("model_type") if isinstance(tower, Mapping) else None
    return (named or config.get("model_type")) in VISION_TRANSFORMERS
