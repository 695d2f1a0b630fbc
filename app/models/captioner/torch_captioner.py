"""A captioner run by PyTorch through transformers' `generate`. Importing this takes seconds."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from app.models.captioner.source import SourceCaptioner, tidy
from app.models.hardware import float_type
from app.models.hugging_face import quiet_transformers
from app.pictures.resize import Resize
from app.settings import CaptionSettings


class TorchCaptioner:
    """The `Captioner` for any image-to-text model that needs no prompt. Not thread-safe."""

    def __init__(self, source: SourceCaptioner, device: str, settings: CaptionSettings) -> None:
        """Raises ModelUnavailable, also when a first picture can't be described."""
        self.name = source.checkpoint.name
        self._images, self._tokenizer = source.images, source.tokenizer
        self._type = float_type(device)
        self._device = device
        self._network = source.load_network().to(device, self._type)
        self.runtime = f"{_SHORT[self._type]} torch-{device}"
        self._beams, self._batch_size = settings.beams, settings.batch_size
        self._max_tokens = min(settings.max_tokens, room_for_words(self._network.config))
        with source.checkpoint.translating("a first picture"):
            self.caption([Image.new("RGB", (64, 48), "white")])

    @property
    def resize(self) -> Resize:
        """As `Captioner.resize`."""
        return self._images.resize

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """As `Captioner.caption`."""
        size = self._batch_size
        return [text for start in range(0, len(images), size) for text in self._pass(images[start : start + size])]

    @torch.inference_mode()
    def _pass(self, images: Sequence[Image.Image]) -> list[str]:
        pixels = torch.from_numpy(self._images(images)["pixel_values"]).to(self._device, self._type)
        with quiet_transformers():
            tokens = self._network.generate(
                pixel_values=pixels, max_new_tokens=self._max_tokens, num_beams=self._beams, do_sample=False
            )
        prompt = _prompt_of(self._network.config)
        if prompt and tokens.shape[1] > len(prompt) and tokens[0, : len(prompt)].tolist() == prompt:
            tokens = tokens[:, len(prompt) :]
        return [tidy(text) for text in self._tokenizer.batch_decode(tokens, skip_special_tokens=True)]


_SHORT = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def _prompt_of(config: Any) -> list[int]:
    """The tokens in place of the picture that BLIP-2 puts before its text, and some language models repeat."""
    if config.model_type != "blip-2":
        return []
    return [config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]


def room_for_words(config: Any) -> int:
    """The number of tokens for which the decoder has positions, beside what comes before the words."""
    text = getattr(config, "decoder", None) or getattr(config, "text_config", None) or config
    positions = getattr(text, "max_position_embeddings", None)
    before = getattr(config, "num_query_tokens", 0) + 1
    return max(1, positions - before) if isinstance(positions, int) else 500
