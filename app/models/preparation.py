"""Texts and pictures to what a model's towers eat: the one path that queries and the index take."""

from dataclasses import dataclass

from transformers import AutoConfig

from app.models.checkpoint import Checkpoint
from app.models.preprocess import Preprocessor
from app.models.quiet import quiet_transformers, translated
from app.models.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Preparation:
    """Both are called with a sequence and answer `ModelInputs`."""

    texts: TextTokenizer
    images: Preprocessor

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Preparation":
        """As a model's folder says. Raises ModelUnavailable."""
        with quiet_transformers():
            with translated(checkpoint, "its configuration"):
                config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
            with translated(checkpoint, "its tokenizer"):
                texts = TextTokenizer.from_pretrained(checkpoint.folder, config)
            with translated(checkpoint, "its image preprocessing"):
                images = Preprocessor.from_pretrained(checkpoint.folder)
        return cls(texts, images)
