"""Pictures to vectors, where one that the model can't embed costs the others nothing."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image

from app.errors import ModelUnavailable
from app.ingest.reading import Content, Failure
from app.types import Vectors

if TYPE_CHECKING:
    from app.models.base import Embedder

log = logging.getLogger(__name__)

Embedded: TypeAlias = "Vectors | Exception"
"""The (D,) unit row of a picture, or what the model raised over it alone."""


def encode(embedder: "Embedder", images: Sequence[Image.Image]) -> list[Embedded]:
    """What the model makes of each. Raises ModelUnavailable when it makes nothing of anything any more."""
    vectors = _encode_in_parts(embedder, images)
    failures = [vector for vector in vectors if isinstance(vector, Exception)]
    if failures and len(failures) == len(images):
        _check_model(embedder, failures[0])
    return vectors


def not_embedded(content: Content, error: Exception) -> Failure:
    return Failure(content.info.key, f"The model can't embed it: {_words(error)}")


def _encode_in_parts(embedder: "Embedder", images: Sequence[Image.Image]) -> list[Embedded]:
    """All at once; where that fails, by halves, down to the pictures that can't be embedded even alone."""
    try:
        return list(embedder.encode_images(images))
    except Exception as error:  # noqa: BLE001 - whether one picture or the model is to blame shows when all are tried.
        if len(images) == 1:
            return [error.with_traceback(None)]
        log.warning("The model failed over %d pictures together, trying them by halves: %s", len(images), _words(error))
    middle = len(images) // 2  # Out here the error is gone, and with it the memory that its frames held.
    return _encode_in_parts(embedder, images[:middle]) + _encode_in_parts(embedder, images[middle:])


def _check_model(embedder: "Embedder", failure: Exception) -> None:
    """Let the model embed a picture that no model refuses. Raises ModelUnavailable."""
    try:
        embedder.encode_images([Image.linear_gradient("L").convert("RGB")])
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(
            f"The model embeds nothing any more, not even a plain picture ({_words(failure)}). Look for memory that "
            f"ran out, lower INDEX_BATCH_SIZE, or set MODEL_DEVICE=cpu; then run again."
        ) from error


def _words(error: Exception) -> str:
    """The first line of what it says; a MemoryError may say nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
