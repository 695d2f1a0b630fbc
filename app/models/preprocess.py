"""Picture files to what a model's image tower eats: decode, resize, crop, rescale, normalise.

Queries and the index take this one path.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

import numpy as np
from PIL import Image

from app.models.base import ModelInputs
from app.models.pixel_table import PixelTable
from app.models.resize import Resize
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings

MAX_ASPECT: Final = 50
"""Pictures longer than this lose their ends before the resize, which a centre crop drops anyway."""


class Preprocessor:
    """What a model's `preprocessor_config.json` asks for: resize, crop, rescale, normalise. Thread-safe."""

    def __init__(self, resize: Resize, finish: Callable[[Sequence[Image.Image]], ModelInputs]) -> None:
        """`finish` takes pictures that have been resized."""
        self._resize, self._finish = resize, finish

    @classmethod
    def of(cls, processor: Any) -> "Preprocessor":
        """Of transformers' class for it, whose steps after the resize are a table's where that does the same."""
        resize = Resize.of(processor)
        if resize.applies and (table := PixelTable.of(processor)):
            ours = cls(resize, table)
            if all(_same(ours([image]), _processed(processor, [image])) for image in _noise()):
                return ours
        return cls(resize, partial(_processed, processor))

    def facts(self) -> dict[str, Any] | None:
        """What `from_facts` makes the same of; None where transformers' class is needed."""
        if not isinstance(self._finish, PixelTable):
            return None
        return {"resize": asdict(self._resize), "pixels": self._finish.facts()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Preprocessor":
        return cls(Resize(**facts["resize"]), PixelTable.from_facts(facts["pixels"]))

    def __call__(self, images: Sequence[Image.Image]) -> ModelInputs:
        """`pixel_values` (N, 3, H, W) float32, contiguous, of RGB pictures; NaFlex models get patches and masks."""
        return self._finish([self.shrink(image) for image in images])

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        """A picture file, decoded and resized to what the model looks at. Raises as `decode_image`."""
        picture = decode_image(data, limits, self._resize.needed)
        return replace(picture, image=self.shrink(picture.image))

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture at the size the model resizes it to; shrinking it again, or embedding it then, changes nothing.

        Done early it keeps small pictures in memory instead of large ones, and it saves the processor, whose own
        resize finds nothing left to do, several copies of a full-size array.
        """
        image = _cut_ends(image) if self._resize.crops else image
        size = self._resize.needed(image.size)
        return image if size in (None, image.size) else image.resize(size, self._resize.resample)


def _processed(processor: Any, images: Sequence[Image.Image]) -> ModelInputs:
    arrays = processor(list(images), return_tensors="np")
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _noise() -> Iterator[Image.Image]:
    """A lying and a standing picture on which processors differ in what they do besides."""
    random = np.random.default_rng(0)
    for height, width in ((61, 90), (90, 67)):
        yield Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


def _same(ours: ModelInputs, theirs: ModelInputs) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def _cut_ends(image: Image.Image) -> Image.Image:
    """The middle of an absurdly long picture, whose resized copy would not fit into memory."""
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))
