"""What a model can do, whichever runtime is behind it."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from app.pictures.decoding import Picture
from app.settings import ImageSettings
from app.types import ModelIdentity, Vectors

ModelInputs: TypeAlias = dict[str, NDArray[Any]]
"""What a tower takes by name: `input_ids` (N, T) with a mask beside them, `pixel_values` (N, 3, H, W) float32, ..."""


class Embedder(Protocol):
    """Turns texts and pictures into vectors that can be compared with each other. Not thread-safe."""

    identity: ModelIdentity
    notice: str | None
    """A sentence the model's makers want users to read, from `config.json`'s `image2search.notice`."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(N, D) float32 unit rows; a text beyond the model's context is cut by the tokenizer."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """(N, D) float32 unit rows of RGB pictures, as `read` makes them."""
        ...

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        """A picture file, decoded as small as the model looks at it. Raises as `decode_image`. Thread-safe."""
        ...


class Towers(Protocol):
    """A model's two networks in one runtime. Not thread-safe."""

    runtime: str
    """As `ModelIdentity.runtime`."""
    precision: str
    """As `ModelIdentity.precision`."""
    agreement: float | None
    """As `ModelIdentity.agreement`."""

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of tokens, of any length."""
        ...

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of preprocessed pictures, of any length."""
        ...
