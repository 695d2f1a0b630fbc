"""RGB images to what a model's image tower eats: resize, crop, rescale, normalise.

Queries and the index take this one path, after `app.models.decoding`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from transformers import AutoImageProcessor

from app.models.base import ModelInputs

MAX_ASPECT: Final = 50
"""Pictures longer than this lose their ends before the resize, which a centre crop drops anyway."""


class Preprocessor:
    """What a model's `preprocessor_config.json` asks for: resize, crop, rescale, normalise. Thread-safe."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Preprocessor":
        """From a model folder; always Pillow's resize, so that a machine with torchvision gets the same vectors."""
        auto: Any = AutoImageProcessor
        return cls(auto.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False))

    def __call__(self, images: Sequence[Image.Image]) -> ModelInputs:
        """`pixel_values` (N, 3, H, W) float32, contiguous, of RGB pictures; NaFlex models get patches and masks."""
        small = [self.shrink(image) for image in images]
        arrays = self._processor(small, return_tensors="np")
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture at the size the model resizes it to; shrinking it again, or embedding it then, changes nothing.

        Readers call it early to keep small pictures in memory instead of large ones, and it saves the processor,
        whose own resize finds nothing left to do, several copies of a full-size array.
        """
        size = self._processor.size if self._processor.do_resize else None
        if not size or size.get("longest_edge"):
            return image
        if edge := size.get("shortest_edge"):
            image = _cut_ends(image) if self._crops else image
            return self._resize(image, _shortest_edge_to(edge, image.size))
        if size.get("height") and size.get("width"):
            return self._resize(image, (size["width"], size["height"]))
        return image

    @property
    def _crops(self) -> bool:
        return bool(getattr(self._processor, "do_center_crop", False))

    def _resize(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image if image.size == size else image.resize(size, self._processor.resample)


def _shortest_edge_to(edge: int, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) as transformers' `get_resize_output_image_size` rounds them: the long side down."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def _cut_ends(image: Image.Image) -> Image.Image:
    """The middle of an absurdly long picture, whose resized copy would not fit into memory."""
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))
