"""The size that a model looks at a picture in."""

from dataclasses import dataclass
from typing import Any

from app.pictures.decoding import Size


@dataclass(frozen=True)
class Resize:
    """The first step of a model's image processor."""

    shortest_edge: int | None
    """Pixels that the shorter side gets, the longer one in proportion."""
    width: int | None
    height: int | None
    """Both sides, where there is no `shortest_edge`; without either a model looks at a picture as it is."""
    resample: int
    """Pillow's number of the filter."""
    crops: bool
    """Whether it keeps the middle of what it has resized by the shortest edge."""

    @classmethod
    def of(cls, processor: Any) -> "Resize":
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
        """What a picture of this size is resized to; None where the model looks at it as it is."""
        if self.shortest_edge:
            return _shortest_edge_to(self.shortest_edge, size)
        return (self.width, self.height) if self.width and self.height else None


def _shortest_edge_to(edge: int, size: Size) -> Size:
    """As transformers' `get_resize_output_image_size` rounds them: the long side down."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge
