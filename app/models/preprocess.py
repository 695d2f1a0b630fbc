"""Picture files to what a model's image tower eats: decode, resize, crop, rescale, normalise.

Queries and the index take this one path.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from transformers import AutoImageProcessor

from app.models.base import ModelInputs
from app.models.decoding import Picture, Size, decode_image
from app.models.pixel_table import PixelTable
from app.settings import ImageSettings

MAX_ASPECT: Final = 50
"""Pictures longer than this lose their ends before the resize, which a centre crop drops anyway."""


class Preprocessor:
    """What a model's `preprocessor_config.json` asks for: resize, crop, rescale, normalise. Thread-safe."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._table = PixelTable.of(processor) if self.needed((64, 48)) else None
        if self._table and not self._table_does_the_same():
            self._table = None

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Preprocessor":
        """From a model folder; always Pillow's resize, so that a machine with torchvision gets the same vectors."""
        auto: Any = AutoImageProcessor
        return cls(auto.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False))

    def __call__(self, images: Sequence[Image.Image]) -> ModelInputs:
        """`pixel_values` (N, 3, H, W) float32, contiguous, of RGB pictures; NaFlex models get patches and masks."""
        small = [self.shrink(image) for image in images]
        if self._table and small:
            return {"pixel_values": self._table(small)}
        arrays = self._processor(small, return_tensors="np")
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        """A picture file, decoded and resized to what the model looks at. Raises as `decode_image`."""
        picture = decode_image(data, limits, self.needed)
        return replace(picture, image=self.shrink(picture.image))

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture at the size the model resizes it to; shrinking it again, or embedding it then, changes nothing.

        Done early it keeps small pictures in memory instead of large ones, and it saves the processor, whose own
        resize finds nothing left to do, several copies of a full-size array.
        """
        image = _cut_ends(image) if self._crops else image
        size = self.needed(image.size)
        return image if size in (None, image.size) else image.resize(size, self._processor.resample)

    def needed(self, size: Size) -> Size | None:
        """What a picture of this size is resized to; None where the model looks at it as it is."""
        wanted = self._processor.size if self._processor.do_resize else None
        if not wanted or wanted.get("longest_edge"):
            return None
        if edge := wanted.get("shortest_edge"):
            return _shortest_edge_to(edge, size)
        if wanted.get("height") and wanted.get("width"):
            return wanted["width"], wanted["height"]
        return None

    def _table_does_the_same(self) -> bool:
        """Seen on a lying and a standing picture: processors differ in what they do besides."""
        random = np.random.default_rng(0)
        for height, width in ((61, 90), (90, 67)):
            image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
            expected = self._processor([image], return_tensors="np")
            if not np.array_equal(self([image])["pixel_values"], expected["pixel_values"]):
                return False
        return True

    @property
    def _crops(self) -> bool:
        """Whether it resizes by the shortest edge and keeps the middle."""
        resizes = self._processor.do_resize and (self._processor.size or {}).get("shortest_edge")
        return bool(resizes and getattr(self._processor, "do_center_crop", False))


def _shortest_edge_to(edge: int, size: Size) -> Size:
    """As transformers' `get_resize_output_image_size` rounds them: the long side down."""
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
