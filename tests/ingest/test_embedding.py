"""Pictures that the model refuses don't cost the others their vectors; a model that refuses every picture is named."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from app.errors import ModelUnavailable
from app.ingest.embedding import embed, not_embedded
from app.ingest.reading import Content
from app.storage.base import ObjectInfo
from app.types import Vectors
from tests.support.service import FakeEmbedder


class PickyEmbedder(FakeEmbedder):
    """Raises `error` for lists of pictures that it refuses, and notes how many pictures it was given each time."""

    def __init__(self, refuses: Callable[[list[int]], bool], error: Exception) -> None:
        super().__init__()
        self._refuses = refuses
        self._error = error
        self.calls: list[int] = []

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        self.calls.append(len(images))
        if self._refuses([image.width for image in images]):
            raise self._error
        return super().encode_images(images)


def pictures(count: int) -> list[Image.Image]:
    """Known by their widths, 1 to `count`."""
    return [Image.new("RGB", (width, 8), (width, 2 * width, 3)) for width in range(1, count + 1)]


def test_one_call_embeds_all_when_nothing_fails() -> None:
    embedder = PickyEmbedder(lambda widths: False, ValueError())
    np.testing.assert_array_equal(embed(embedder, pictures(5)), FakeEmbedder().encode_images(pictures(5)))
    assert embedder.calls == [5]


def test_a_refused_picture_is_found_by_halves_and_the_others_keep_their_order() -> None:
    embedder = PickyEmbedder(lambda widths: 3 in widths, ValueError("odd"))
    found = embed(embedder, pictures(4))
    assert embedder.calls == [4, 2, 2, 1, 1]
    assert isinstance(found[2], ValueError)
    np.testing.assert_array_equal(
        [found[0], found[1], found[3]], FakeEmbedder().encode_images([pictures(4)[n] for n in (0, 1, 3)])
    )


def test_refusing_every_picture_of_a_batch_is_no_broken_model() -> None:
    embedder = PickyEmbedder(lambda widths: bool({1, 2} & set(widths)), ValueError("odd"))
    assert [type(each) for each in embed(embedder, pictures(2))] == [ValueError, ValueError]


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), r"embeds nothing any more.*MemoryError"), (ModelUnavailable("gone"), "gone")],
    ids=["memory", "says so itself"],
)
def test_a_model_that_refuses_even_a_plain_picture_is_unavailable(error: Exception, words: str) -> None:
    with pytest.raises(ModelUnavailable, match=words):
        embed(PickyEmbedder(lambda widths: True, error), pictures(3))


def test_no_pictures_need_no_check_of_the_model() -> None:
    embedder = PickyEmbedder(lambda widths: False, ValueError())
    embedder.encode_images = lambda images: np.empty((0, 8), np.float32)  # type: ignore[method-assign]
    assert embed(embedder, []) == []


def test_a_failure_names_the_first_line_of_the_error() -> None:
    content = Content(ObjectInfo("a.png", "1", 2, 3.0), "1", 2, "c0ffee", None)
    failure = not_embedded(content, RuntimeError("CUDA out of memory\nmore"))
    assert (failure.key, failure.reason) == ("a.png", "The model can't embed it: CUDA out of memory")
