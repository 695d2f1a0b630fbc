"""The first step of a model's image processor: the size in which the model looks at a picture.

It stands here and not with the model, because it is done where pictures are decoded: in other processes, which load no
model.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image

from app.pictures.decoding import Picture, Size, decode_image
from app.pictures.limits import Limits

MAX_ASPECT: Final = 50
"""Pictures that are longer than this times their width lose their ends before the resize.

The centre crop would drop the ends anyway."""


@dataclass(frozen=True)
class Resize:
    """The size that an image processor asks for. Called with a file it is a `ReadPicture`."""

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

    def __call__(self, data: bytes, limits: Limits, /) -> Picture:
        """The picture in a file, in the size to which the model resizes it. Raises as `decode_image`."""
        picture = decode_image(data, limits, self.needed)
        return replace(picture, image=self.shrink(picture.image))

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture in the size to which the model resizes it. A second call changes nothing.

        Early resizing keeps small pictures in memory instead of large ones. It also saves the image processor several
        copies of a full-size array, because its own resize has nothing left to do.
        """
        image = _cut_ends(image) if self.crops else image
        size = self.needed(image.size)
        return image if size in (None, image.size) else image.resize(size, self.resample)


def _shortest_edge_to(edge: int, size: Size) -> Size:
    """Rounded as transformers' `get_resize_output_image_size` does: the long side down."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def _cut_ends(image: Image.Image) -> Image.Image:
    """The middle of a picture with an extreme aspect, because its resized copy would not fit into memory."""
    width, height = image.size
    longest = MAX_ASPECT * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))
