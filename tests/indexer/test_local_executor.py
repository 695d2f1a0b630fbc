"""Reading and embedding in this process: batches, equal bytes, and a model that fails."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from app.errors import (
    ModelUnavailable,
)
from app.library.thumbnails import Thumbnails, thumbnail_key
from app.models.calibration import Calibration
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings
from app.types import Vectors, image_id_of
from indexer.fitting import LEAST_PICTURES
from indexer.plan import Options
from tests.indexer.picture_collection import (
    Collection,
    CountingEmbedder,
    png,
    some_settings,
)

REBUILD = Options(rebuild=True)


def test_copies_within_one_run_are_embedded_once(collection: Collection) -> None:
    for number in range(12):
        collection.put(f"{number:02}.png", seed=number % 2)

    report = collection.run()

    assert (report.added, report.embedded, report.reused, report.moved) == (12, 2, 10, 0)
    np.testing.assert_array_equal(collection.vector("01.png"), collection.vector("11.png"))


def test_a_copy_of_what_an_earlier_batch_embedded_takes_its_vector(collection: Collection) -> None:
    for number in range(12):
        collection.put(f"{number:02}.png", seed=number % 6)

    report = collection.run()

    assert collection.embedder.batches == [4, 2]
    assert (report.added, report.reused) == (12, 6)
    for number in range(6):
        np.testing.assert_array_equal(collection.vector(f"{number:02}.png"), collection.vector(f"{number + 6:02}.png"))
    assert len(np.unique(np.stack([collection.vector(f"{number:02}.png") for number in range(6)]), axis=0)) == 6


def test_batches_are_full_and_cover_everything(collection: Collection) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.run()
    assert collection.embedder.batches == [4, 4, 2]


def test_thumbnails_are_made_ahead_where_the_setting_says_so(collection: Collection) -> None:
    collection.put("a.png", 1)
    collection.store.put("broken.png", b"rubbish")
    collection.run()
    assert not thumbnails_in(collection)
    collection.settings = some_settings(thumbnails=True)
    collection.put("b.png", 2)
    collection.store.put("copy of a.png", png(1))
    collection.run()
    made = {thumbnail_key(image_id_of(key)) for key in ("b.png", "copy of a.png")}
    assert thumbnails_in(collection) == made
    record = next(each for each in collection.snapshot().records.values() if each.object_key == "b.png")
    assert Thumbnails(collection.store, ImageSettings()).kept(record)


def thumbnails_in(collection: Collection) -> set[str]:
    return {info.key for info in collection.store.list() if info.key.startswith("_thumbnails/")}


class MoodyEmbedder(CountingEmbedder):
    """Raises `error` for what `refuses` says of a list of pictures."""

    def __init__(self, inner: CountingEmbedder, error: Exception, refuses: Callable[[list[bytes]], bool]) -> None:
        super().__init__(inner)
        self._error = error
        self._refuses = refuses

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        if self._refuses([image.tobytes() for image in images]):
            raise self._error
        return super().encode_images(images)

    def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
        return decode_image(data, limits)  # in full, so that its bytes can be recognised


def pixels(seed: int) -> bytes:
    return Image.open(io.BytesIO(png(seed))).tobytes()


def refusing(*seeds: int) -> Callable[[list[bytes]], bool]:
    refused = {pixels(seed) for seed in seeds}
    return lambda images: bool(refused & set(images))


MODEL_ERRORS = [
    RuntimeError("CUDA out of memory\nmore"),
    ModelUnavailable("vectors are no numbers"),
    MemoryError(),
    ValueError("odd shape"),
]


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=lambda error: type(error).__name__)
def test_pictures_that_the_model_refuses_are_named_and_the_others_are_indexed(
    collection: Collection, error: Exception
) -> None:
    for seed in range(10):
        collection.put(f"{seed}.png", seed)
    collection.put("copy of 3.png", 3)
    whole = collection.embedder
    collection.embedder = MoodyEmbedder(whole, error, refusing(3, 6))

    report = collection.run()

    assert [problem.key for problem in report.failed] == ["3.png", "6.png", "copy of 3.png"]
    assert "The model can't embed it: " + (str(error).partition("\n")[0] or "MemoryError") == report.failed[0].reason
    assert (report.added, report.embedded, report.left) == (8, 8, 0)
    assert len(collection.indexed()) == 8
    collection.embedder = whole
    following = collection.run()
    assert (following.added, following.failed, following.unchanged) == (3, (), 8)
    np.testing.assert_allclose(collection.vector("7.png"), alone(collection, 7), atol=1e-5)


def alone(collection: Collection, seed: int) -> Vectors:
    """The vector of one picture, embedded by itself."""
    image = decode_image(png(seed), ImageSettings(max_bytes=1 << 20, max_pixels=1000)).image
    row: Vectors = collection.embedder.encode_images([image])[0]
    return row


def test_too_much_for_the_model_at_once_is_embedded_in_parts(collection: Collection) -> None:
    for seed in range(9):
        collection.put(f"{seed}.png", seed)
    error = RuntimeError("CUDA out of memory")
    collection.embedder = MoodyEmbedder(collection.embedder, error, lambda images: len(images) > 2)
    report = collection.run()
    assert (report.added, report.failed) == (9, ())
    assert collection.embedder.batches == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(collection.vector("3.png"), alone(collection, 3), atol=1e-5)


def test_pictures_that_are_refused_forever_do_not_stop_later_runs(collection: Collection) -> None:
    """They are all that is left to read, and yet the model is not to blame."""
    for seed in range(6):
        collection.put(f"{seed}.png", seed)
    collection.embedder = MoodyEmbedder(collection.embedder, ValueError("odd"), refusing(2, 3))
    collection.run()
    collection.store.delete("0.png")
    report = collection.run()
    assert ([problem.key for problem in report.failed], report.removed) == (["2.png", "3.png"], 1)
    assert collection.indexed() == {"1.png", "4.png", "5.png"}


@pytest.mark.parametrize("error", MODEL_ERRORS, ids=lambda error: type(error).__name__)
def test_a_model_that_breaks_ends_the_run_and_what_was_done_is_kept(collection: Collection, error: Exception) -> None:
    for seed in range(4):
        collection.put(f"old/{seed}.png", seed)
    collection.run()
    collection.store.delete("old/0.png")
    for seed in range(10, 22):
        collection.put(f"new/{seed}.png", seed)
    whole = collection.embedder
    whole.batches.clear()
    collection.embedder = MoodyEmbedder(whole, error, lambda _: broken.embedded >= 8)
    broken = collection.embedder

    with pytest.raises(ModelUnavailable, match=r"vectors are no numbers|embeds nothing any more"):
        collection.run()

    assert collection.indexed() == {f"old/{n}.png" for n in range(4)} | {f"new/{n}.png" for n in range(10, 18)}
    collection.embedder = whole
    assert (collection.run().embedded, len(collection.indexed())) == (4, 15)


def test_a_run_offers_its_pictures_to_the_model_it_loads(collection: Collection) -> None:
    collection.put("0.png", 0)
    collection.run()
    assert collection.offered is None, "few pictures are left to the samples"
    for number in range(LEAST_PICTURES):
        collection.store.put(f"more/{number:03}.png", png(number))
    collection.run()
    assert isinstance(collection.offered, Calibration)
    assert (collection.offered.own, collection.offered.source) == (True, "your pictures")
