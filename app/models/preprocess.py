"""Picture files to the `pixel_values` of a model's image tower: decode, resize, crop, rescale, normalise.

Queries and the index share this one path. `Preprocessor` does the steps in order: `decode_image`, then `Resize`, then
`PixelTable` or, for unusual models, transformers' own class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.models.base import ModelInputs
from app.pictures.decoding import ReadPicture, Size
from app.pictures.resize import Resize


class PixelTable:
    """Resized pictures to `pixel_values` by table look-up: one float for each of the 256 values of a channel.

    The result equals transformers' rescaling and normalising to the last bit, in a fifth of the time and in one
    contiguous buffer. Thread-safe.
    """

    def __init__(self, values: NDArray[np.float32], crop: Size | None) -> None:
        """`values` is (3, 256). `crop` is the size of the middle part to keep; None keeps the whole picture."""
        self._values, self._crop = values, crop

    @classmethod
    def of(cls, processor: Any) -> "PixelTable | None":
        """The table of an image processor; None when its settings or a trial show that a table can't do its work.

        A table can do a resize, a crop of the middle, and a change that looks at each pixel alone.
        """
        crop = None
        if getattr(processor, "do_center_crop", False):
            crop = processor.crop_size.get("width"), processor.crop_size.get("height")
            if not all(crop) or min(crop) > (processor.size.get("shortest_edge") or 0):
                return None
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
        made = processor([ramp], do_resize=False, do_center_crop=False, return_tensors="np")
        pixels = made.get("pixel_values")
        if set(made) != {"pixel_values"} or pixels.shape != (1, 3, 16, 16) or pixels.dtype != np.float32:
            return None
        if crop is None and not (processor.size.get("height") and processor.size.get("width")):
            return None
        return cls(pixels.reshape(3, 256), crop)

    def facts(self) -> dict[str, Any]:
        """For JSON, which keeps every bit of a float32."""
        return {"values": self._values.tolist(), "crop": self._crop}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "PixelTable":
        return cls(np.array(facts["values"], np.float32), facts["crop"] and tuple(facts["crop"]))

    def __call__(self, images: Sequence[Image.Image]) -> ModelInputs:
        """`pixel_values` (N, 3, H, W), contiguous, of RGB pictures that have been resized."""
        cropped = [self._middle(image) for image in images]
        pixels = np.empty((len(cropped), 3, cropped[0].height, cropped[0].width), np.float32)
        for planes, image in zip(pixels, cropped, strict=True):
            channels = np.asarray(image)
            for number, values in enumerate(self._values):
                np.take(values, channels[:, :, number], out=planes[number], mode="clip")
        return {"pixel_values": pixels}

    def _middle(self, image: Image.Image) -> Image.Image:
        """Rounded as transformers' `center_crop`: an odd row is cut below, an odd column on the right."""
        if self._crop is None or image.size == self._crop:
            return image
        width, height = self._crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))


class Preprocessor:
    """The steps that a model's `preprocessor_config.json` asks for. Thread-safe."""

    def __init__(self, resize: Resize, finish: Callable[[Sequence[Image.Image]], ModelInputs]) -> None:
        """`finish` does the steps after the resize."""
        self._resize, self._finish = resize, finish

    @classmethod
    def of(cls, processor: Any) -> "Preprocessor":
        """The steps of a processor of transformers. A table does those after the resize if its numbers are the same."""
        resize = Resize.of(processor)
        if resize.applies and (table := PixelTable.of(processor)):
            ours = cls(resize, table)
            if all(_same(ours([image]), _processed(processor, [image])) for image in _noise()):
                return ours
        return cls(resize, partial(_processed, processor))

    def facts(self) -> dict[str, Any] | None:
        """What `from_facts` needs to make the same again; None when transformers' class finishes the steps."""
        if not isinstance(self._finish, PixelTable):
            return None
        return {"resize": asdict(self._resize), "pixels": self._finish.facts()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Preprocessor":
        return cls(Resize(**facts["resize"]), PixelTable.from_facts(facts["pixels"]))

    def __call__(self, images: Sequence[Image.Image]) -> ModelInputs:
        """`pixel_values` (N, 3, H, W) float32, contiguous, of RGB pictures. NaFlex models get patches and masks."""
        return self._finish([self.shrink(image) for image in images])

    @property
    def resize(self) -> Resize:
        """The size in which the model looks at pictures, and how they are brought to it."""
        return self._resize

    @property
    def read_picture(self) -> ReadPicture:
        """Picture files to pictures that are resized for the model: all image bytes that a model sees come through it.

        It can be pickled, and needs no model. Raises as `decode_image`.
        """
        return self._resize

    def shrink(self, image: Image.Image) -> Image.Image:
        """As `Resize.shrink`."""
        return self._resize.shrink(image)


def _processed(processor: Any, images: Sequence[Image.Image]) -> ModelInputs:
    arrays = processor(list(images), return_tensors="np")
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _noise() -> Iterator[Image.Image]:
    """A wide and a tall picture of noise: extra steps of a processor change these."""
    random = np.random.default_rng(0)
    for height, width in ((61, 90), (90, 67)):
        yield Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


def _same(ours: ModelInputs, theirs: ModelInputs) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
