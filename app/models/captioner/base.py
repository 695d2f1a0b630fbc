"""What a model that describes pictures can do, in any runtime."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from app.pictures.resize import Resize


class Captioner(Protocol):
    """Says in words what pictures show. Not thread-safe."""

    name: str
    """For people and records (`ImageRecord.caption_by`): the hub's name and commit, or the folder's own name."""
    runtime: str
    """What runs it and in which arithmetic, for people: `fp32 openvino-cpu`, `bf16 torch-cuda`."""

    @property
    def resize(self) -> Resize:
        """The size in which it looks at pictures. Pictures in that size already are not resized again."""
        ...

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """One sentence for each upright RGB picture, in their order; empty where the model says nothing."""
        ...
