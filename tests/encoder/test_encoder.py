"""Each kind of term becomes a vector that can be compared with those of the index."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from app.catalog.view import View
from app.encoder.encoder import (
    WARM_UP_COUNTS,
    WARM_UP_WORDS,
    Encoder,
    IndexedPicture,
    PictureFile,
    RawVector,
    Term,
    Text,
)
from app.encoder.workers import Workers
from app.errors import ImageNotFound, ImageTooLarge, InvalidImage, InvalidInput, Unavailable
from app.pictures.decoding import Picture
from app.pictures.processes import InThisProcess
from app.settings import BatchSettings, ImageSettings
from app.types import Vectors, image_id_of
from tests.support.service import KEYS, FakeEmbedder, encoded, make_parts, picture, until

LIMITS = ImageSettings(max_bytes=100_000)


@pytest.fixture
def view(tmp_path: Path) -> View:
    snapshot = make_parts(tmp_path).catalog.load()
    assert snapshot is not None
    return View(snapshot)


def encoder_of(embedder: FakeEmbedder) -> Encoder:
    workers, decoding = Workers(1, 8), Workers(1, 8)
    return Encoder(embedder, BatchSettings(), LIMITS, workers, decoding=decoding, decoders=InThisProcess())


def run(story: Callable[[Encoder], Awaitable[Vectors]], embedder: FakeEmbedder | None = None) -> Vectors:
    async def started() -> Vectors:
        encoder = Encoder(
            embedder or FakeEmbedder(),
            BatchSettings(),
            LIMITS,
            Workers(1, 8),
            decoding=Workers(1, 8),
            decoders=InThisProcess(),
        )
        await encoder.start()
        try:
            return await story(encoder)
        finally:
            await encoder.stop()

    return asyncio.run(started())


def encode(term: Term, view: View) -> Vectors:
    return run(lambda encoder: encoder.encode(term, view))


def test_a_text(view: View) -> None:
    np.testing.assert_array_equal(encode(Text("dog"), view), FakeEmbedder().encode_texts(["dog"])[0])


def test_a_picture_file_has_the_vector_that_the_index_has_for_it(view: View) -> None:
    key = KEYS[2]
    assert key.endswith("png")
    np.testing.assert_allclose(
        encode(PictureFile(encoded(picture(key))), view), view.vector(image_id_of(key)), atol=1e-6
    )


def test_an_indexed_picture(view: View) -> None:
    image_id = image_id_of(KEYS[0])
    np.testing.assert_array_equal(encode(IndexedPicture(image_id), view), view.vector(image_id))


def test_a_vector_of_any_length(view: View) -> None:
    given = np.arange(8, dtype=np.float32)
    np.testing.assert_allclose(encode(RawVector(given), view), given / np.linalg.norm(given), rtol=1e-6)


@pytest.mark.parametrize(
    ("term", "error", "words"),
    [
        (PictureFile(b"text"), InvalidImage, "no picture"),
        (PictureFile(b"\x89PNG\r\n\x1a\n" + b"\0" * 100_000), ImageTooLarge, "100,000"),
        (IndexedPicture("0" * 16), ImageNotFound, "0000"),
        (RawVector(np.ones(7, np.float32)), InvalidInput, r"\(7,\).*8 numbers"),
        (RawVector(np.zeros(8, np.float32)), InvalidInput, "zero"),
        (RawVector(np.full(8, np.nan, np.float32)), InvalidInput, "not a finite number"),
    ],
)
def test_what_can_not_be_encoded_is_named(view: View, term: Term, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        encode(term, view)


def test_a_text_that_was_asked_before_comes_from_the_cache(view: View) -> None:
    embedder = FakeEmbedder()

    async def twice(encoder: Encoder) -> Vectors:
        for text in ("dog", "cat", "dog"):
            vector = await encoder.encode(Text(text), view)
        assert (encoder.text_cache.hits, encoder.text_cache.misses, len(encoder.text_cache)) == (1, 2, 2)
        return vector

    run(twice, embedder)
    assert embedder.texts == ["dog", "cat"]


def test_a_stopped_encoder_refuses(view: View) -> None:
    async def story() -> None:
        encoder = Encoder(
            FakeEmbedder(), BatchSettings(), LIMITS, Workers(1, 8), decoding=Workers(1, 8), decoders=InThisProcess()
        )
        with pytest.raises(Unavailable, match="starting or stopping"):
            await encoder.encode(Text("dog"), view)

    asyncio.run(story())


def test_an_open_file_is_read_up_to_the_limit_when_its_turn_comes(view: View) -> None:
    file = io.BytesIO(encoded(picture("x.png")))
    whole = encode(PictureFile(file), view)
    np.testing.assert_array_equal(whole, encode(PictureFile(file.getvalue()), view))
    endless = io.BytesIO(bytes(LIMITS.max_bytes * 3))
    with pytest.raises(ImageTooLarge):
        encode(PictureFile(endless), view)
    assert endless.tell() == LIMITS.max_bytes + 1


def test_texts_and_indexed_pictures_do_not_wait_for_files(view: View) -> None:
    gate, began = threading.Event(), threading.Event()

    class Held(FakeEmbedder):
        def read_picture(self, data: bytes, limits: ImageSettings) -> Picture:
            began.set()
            assert gate.wait(10)
            return super().read_picture(data, limits)

    async def story(encoder: Encoder) -> Vectors:
        slow = [asyncio.create_task(encoder.encode(PictureFile(encoded(picture(key))), view)) for key in KEYS[:3]]
        await until(began.is_set)
        await encoder.encode(IndexedPicture(image_id_of(KEYS[0])), view)
        vector = await encoder.encode(Text("dog"), view)
        assert not any(task.done() for task in slow)
        gate.set()
        await asyncio.gather(*slow)
        return vector

    run(story, Held())


class Passes(FakeEmbedder):
    """Notes the number and the length (words) of the texts in each pass."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self.identity = replace(self.identity, precision=precision)
        self.passes: list[tuple[int, int]] = []

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.passes.append((len(texts), len(texts[0].split())))
        return super().encode_texts(texts)


def test_an_int8_model_makes_its_kernels_before_requests_need_them() -> None:
    embedder = Passes("int8")

    async def story() -> None:
        encoder = encoder_of(embedder)
        await encoder.start(warm_up=True)
        await until(lambda: (32, 22) in embedder.passes)
        await encoder.stop()
        assert len(encoder.text_cache) == 0

    asyncio.run(story())
    assert set(embedder.passes) == set(product(WARM_UP_COUNTS, WARM_UP_WORDS))


def test_requests_do_not_wait_for_the_kernels_and_an_end_does_not_either(view: View) -> None:
    embedder = Passes("int8")

    async def story() -> None:
        encoder = encoder_of(embedder)
        await encoder.start(warm_up=True)
        await encoder.encode(Text("a red boat"), view)
        assert len(embedder.passes) < 5
        await encoder.stop()

    asyncio.run(story())
    assert len(embedder.passes) < 10


@pytest.mark.parametrize(("precision", "warm_up"), [("fp32", True), ("int8", False)])
def test_nothing_is_made_where_nothing_is_gained(precision: str, warm_up: bool) -> None:
    embedder = Passes(precision)

    async def story() -> None:
        encoder = encoder_of(embedder)
        await encoder.start(warm_up=warm_up)
        await encoder.stop()

    asyncio.run(story())
    assert embedder.passes == []
