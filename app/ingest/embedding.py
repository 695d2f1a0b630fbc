"""Pictures to vectors. A picture that the model can't embed does not cost the others their vectors."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from PIL import Image

from app.errors import ModelUnavailable, first_line
from app.ingest.reading import Content, Failure
from app.models.base import Embedder
from app.types import Vectors

log = logging.getLogger(__name__)

Made = TypeVar("Made")

Embedded: TypeAlias = Vectors | Exception
"""The (D,) unit row of a picture, or the model's error about this picture alone."""


def embed(embedder: Embedder, images: Sequence[Image.Image]) -> list[Embedded]:
    """One vector or error for each picture. Raises ModelUnavailable when the model can't embed any picture."""
    vectors = by_halves(embedder.encode_images, images)
    failures = [vector for vector in vectors if isinstance(vector, Exception)]
    if failures and len(failures) == len(images):
        _check_model(embedder, failures[0])
    return vectors


def not_embedded(content: Content, error: Exception) -> Failure:
    """The outcome for a picture that the model refused."""
    return Failure(content.info.key, f"The model can't embed it: {first_line(error)}")


def by_halves(
    model: Callable[[Sequence[Image.Image]], Iterable[Made]], images: Sequence[Image.Image]
) -> list[Made | Exception]:
    """What the model makes of all pictures at once. If that fails, of each half, down to single pictures."""
    try:
        return list(model(images))
    except Exception as error:  # noqa: BLE001 - only trying every picture shows whether a picture or the model is bad
        if len(images) == 1:
            return [error.with_traceback(None)]
        log.warning("The model failed on %d pictures at once, trying each half: %s", len(images), first_line(error))
    middle = len(images) // 2  # after the except block, which frees the memory that the error's frames hold
    return by_halves(model, images[:middle]) + by_halves(model, images[middle:])


def _check_model(embedder: Embedder, failure: Exception) -> None:
    """Let the model embed a plain picture, which every working model can. Raises ModelUnavailable."""
    try:
        embedder.encode_images([Image.linear_gradient("L").convert("RGB")])
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(
            f"The model embeds nothing any more, not even a plain picture ({first_line(failure)}). Check whether "
            f"memory ran out, lower INDEX_BATCH_SIZE, or set MODEL_DEVICE=cpu; then run again."
        ) from error
