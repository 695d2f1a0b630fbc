"""What a model can do, whichever runtime is behind it."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from app.types import ModelIdentity, Vectors


class Embedder(Protocol):
    """Turns texts and pictures into vectors that can be compared with each other. Not thread-safe."""

    identity: ModelIdentity
    notice: str | None
    """A sentence the model's makers want users to read, from `config.json`'s `image2search.notice`."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(N, D) float32 unit rows; a text beyond the model's context is cut by the tokenizer."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """(N, D) float32 unit rows of RGB pictures, as `decoding.decode_image` makes them."""
        ...

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture as small as the model looks at it: the same vector, less memory meanwhile. Thread-safe."""
        ...
