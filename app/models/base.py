"""What a model can do, in any runtime: `Embedder` for the rest of the program, `Towers` behind it."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from app.pictures.decoding import ReadPicture
from app.types import ModelIdentity, Vectors

ModelInputs: TypeAlias = dict[str, NDArray[Any]]
"""A tower's input arrays by name: `input_ids` (N, T) with a mask, `pixel_values` (N, 3, H, W) float32, ..."""


class Embedder(Protocol):
    """Turns texts and pictures into vectors that can be compared with each other. Not thread-safe."""

    identity: ModelIdentity
    notice: str | None
    """A sentence that the model's makers want users to read, from `config.json`'s `image2search.notice`."""
    has_patches: bool
    """Whether the image tower is a Vision Transformer."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(N, D) float32 unit rows. The tokenizer cuts a text that is longer than the model's context."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """(N, D) float32 unit rows of RGB pictures, as `read_picture` returns them."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts the model reads, the marks for begin and end among them. Thread-safe."""
        ...

    @property
    def read_picture(self) -> ReadPicture:
        """From a file to the picture, resized for this model. The only way in for image bytes, uploads and index alike.

        Raises as `decode_image`. Thread-safe. It can be pickled and needs no model: other processes call it.
        """
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
        """(N, D) float32 of tokens; rows need not have unit length."""
        ...

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of preprocessed pictures; rows need not have unit length."""
        ...
