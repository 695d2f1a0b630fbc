"""Picture files to the `pixel_values` of a model's image tower: decode, resize, crop, rescale, normalise.

Queries and the index share this one path. `Preprocessor` does the steps in order: `decode_image`, then `Resize`, then
`PixelTable` or, for unusual models, transformers' own class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.models.base import ModelInputs
from app.pictures.decoding import Picture, Size, decode_image
from app.settings import ImageSettings

MAX_ASPECT: Final = 50
"""Pictures that are longer than this times their width lose their ends before the resize.

The centre crop would drop the ends anyway."""


@dataclass(frozen=True)
class Resize:
    """The first step of a model's image processor: the size in which the model looks at a picture."""

    shortest_edge: int | None
    """The new length of the shorter side, pixels; the longer side keeps its proportion."""
    width: int | None
    height: int | None
    """Both sides, when there is no `shortest_edge`. Without any of the three, pictures keep their size."""
    resample: int
    """Pillow's number of the filter."""
    crops: bool
    """Whether the model keeps only the middle of a picture that was resized by its shortest edge."""

    @classmethod
    def of(cls, processor: Any) -> "Resize":
        """The resize that an image processor of transformers asks for."""
        size: Any = (processor.size if processor.do_resize else None) or {}
        edge, width, height = (size.get(name) or None for name in ("shortest_edge", "width", "height"))
        crops = bool(edge and getattr(processor, "do_center_crop", False))
        if size.get("longest_edge"):
            edge = width = height = None
        return cls(edge, width, height, int(processor.resample), crops)

    @property
    def applies(self) -> bool:
        return bool(self.shortest_edge or (self.width and self.height))

    def needed(self, size: Size) -> Size | None:
        """The new size of a picture of this size; None when the model takes it as it is."""
        if self.shortest_edge:
            return _shortest_edge_to(self.shortest_edge, size)
        return (self.width, self.height) if self.width and self.height else None


def _shortest_edge_to(edge: int, size: Size) -> Size:
    """Rounded as transformers' `get_resize_output_image_size` does: the long side down."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


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

    def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
        """The picture in a file, resized for the model. All image bytes that a model sees come through here.

        Raises as `decode_image`.
        """
        picture = decode_image(data, limits, self._resize.needed)
        return replace(picture, image=self.shrink(picture.image))

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture in the size to which the model resizes it. A second call changes nothing.

        Early resizing keeps small pictures in memory instead of large ones. It also saves the image processor several
        copies of a full-size array, because its own resize has nothing left to do.
        """
        image = _cut_ends(image) if self._resize.crops else image
        size = self._resize.needed(image.size)
        return image if size in (None, image.size) else image.resize(size, self._resize.resample)


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


def _cut_ends(image: Image.Image) -> Image.Image:
    """The middle of a picture with an extreme aspect, because its resized copy would not fit into memory."""
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))
