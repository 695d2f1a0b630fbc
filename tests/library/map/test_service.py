"""The map's service: answers at once, and improves them in the background."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.catalog.view import View
from app.encoder.encoder import Encoder
from app.encoder.workers import Workers
from app.errors import Unavailable
from app.library.map.cartography import MIN_UMAP, Cartographer
from app.library.map.service import SCRATCH_PREFIX, TEXTS, LibraryMap
from app.library.map.store import MapStore
from app.library.map.words import WORDS
from app.pictures.processes import InThisProcess
from app.settings import BatchSettings, ImageSettings
from app.storage.local import LocalStore
from app.types import Vectors
from tests.library.map.test_cartography import Library, adding, keys
from tests.support.service import FakeEmbedder, GatedEmbedder, until

SAY = "import pathlib, sys; folder = pathlib.Path(sys.argv[1]); "
DONE = SAY + "(folder / 'points.npy').write_bytes((folder / 'start.npy').read_bytes())"
FAILED = "import sys; sys.exit('Traceback\\nMemoryError: no memory')"
ENDLESS = SAY + "(folder.parent / 'begun').touch(); sys.stdin.read()"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    folder = tmp_path / "store"
    folder.mkdir()
    library = Library(LocalStore(folder))
    library.publish(adding(keys(MIN_UMAP)))
    return library


@asynccontextmanager
async def serving(
    library: Library, *, umap: str | None = None, embedder: FakeEmbedder | None = None
) -> AsyncIterator[tuple[LibraryMap, Callable[[], View]]]:
    """`umap`: the program that stands in for UMAP; None: it is not installed."""
    workers, batch = Workers(2, 64), BatchSettings()
    model = embedder or FakeEmbedder()
    encoder = Encoder(model, batch, ImageSettings(), workers, decoding=workers, decoders=InThisProcess())
    store = MapStore(library.store)
    cartographer = Cartographer(store, library.view, has_umap=umap is not None)
    command: Sequence[str] = (sys.executable, "-c", umap or "")
    served = LibraryMap(cartographer, store, encoder, Workers(1, 64), command=command)
    await encoder.start()
    try:
        yield served, library.view
    finally:
        await served.stop()
        await encoder.stop()


async def settled(served: LibraryMap, view: View) -> None:
    async with asyncio.timeout(20):
        while (await served.of(view)).pending:  # noqa: ASYNC110 - the end is seen in the answer only
            await asyncio.sleep(0.01)


def test_the_first_answer_has_coordinates_and_a_later_one_has_names(library: Library) -> None:
    async def walk() -> None:
        async with serving(library) as (served, view):
            first = await served.of(view())
            assert (first.layout, first.pending, len(first.rows)) == ("pca", ("names",), MIN_UMAP)
            assert {region.name for region in first.regions} == {None}
            await settled(served, view())
            later = await served.of(view())
            assert {region.name for region in later.regions} <= set(WORDS)
            assert (later.rows == first.rows).all()
            assert (later.points == first.points).all()
            assert later.digest != first.digest

    asyncio.run(walk())


def test_words_are_embedded_once_for_a_model(library: Library) -> None:
    first, again, other = FakeEmbedder(), FakeEmbedder(), FakeEmbedder(fingerprint="beef" * 8)

    async def walk(embedder: FakeEmbedder) -> None:
        async with serving(library, embedder=embedder) as (served, view):
            await settled(served, view())

    for embedder in (first, again, other):
        asyncio.run(walk(embedder))
    assert sorted(first.texts) == sorted(other.texts) == sorted(TEXTS)
    assert again.texts == []


def test_an_answer_is_worked_out_once_for_each_state(library: Library) -> None:
    async def walk() -> None:
        async with serving(library) as (served, view):
            await settled(served, view())
            assert await served.of(view()) is await served.of(view())
            assert await served.of(view(["cats"])) is await served.of(view(["cats"]))
            known = await served.of(view())
            library.publish(adding(["dogs/new.jpg"]))
            assert len((await served.of(view())).rows) == len(known.rows) + 1

    asyncio.run(walk())


def test_answers_come_while_the_model_is_at_work_on_the_words(library: Library) -> None:
    gated = GatedEmbedder()

    async def walk() -> None:
        async with serving(library, embedder=gated) as (served, view):
            await served.of(view())
            await until(gated.entered.is_set)
            assert len((await served.of(view(["cats"]))).rows) == len([key for key in keys(MIN_UMAP) if "cats" in key])
            gated.gate.set()

    asyncio.run(walk())


def test_umap_is_shown_when_it_is_ready(library: Library, tmp_path: Path) -> None:
    async def walk() -> None:
        async with serving(library, umap=DONE) as (served, view):
            first = await served.of(view())
            assert (first.layout, first.pending) == ("pca", ("umap", "names"))
            await settled(served, view())
            later = await served.of(view())
            assert (later.layout, later.pending) == ("umap", ())
            assert later.points == pytest.approx(first.points, abs=1e-4)

    asyncio.run(walk())


def test_umap_that_fails_is_logged_and_the_principal_components_stay(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    async def walk() -> None:
        async with serving(library, umap=FAILED) as (served, view):
            await settled(served, view())
            assert (await served.of(view())).layout == "pca"

    with caplog.at_level(logging.ERROR):
        asyncio.run(walk())
    assert "MemoryError: no memory" in caplog.text


@pytest.mark.parametrize(
    "program", ["(folder / 'points.npy').write_bytes(b'torn')", "import numpy; numpy.save(folder / 'points', [[1, 2]])"]
)
def test_points_that_can_not_be_used_are_logged(
    library: Library, caplog: pytest.LogCaptureFixture, program: str
) -> None:
    async def walk() -> None:
        async with serving(library, umap=SAY + program) as (served, view):
            await settled(served, view())
            assert (await served.of(view())).layout == "pca"

    with caplog.at_level(logging.ERROR):
        asyncio.run(walk())
    assert "UMAP can't lay out the map" in caplog.text


def test_stopping_ends_umap(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def working() -> list[Path]:
        return list(tmp_path.glob(f"{SCRATCH_PREFIX}*"))

    async def walk() -> None:
        async with serving(library, umap=ENDLESS) as (served, view):
            await served.of(view())
            await until((tmp_path / "begun").exists)
            assert working()

    asyncio.run(walk())
    assert not working()


class BusyEmbedder(FakeEmbedder):
    """Refuses every pass until it is free."""

    is_free = False

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not self.is_free:
            raise Unavailable("The model is being loaded.")
        return super().encode_texts(texts)


def test_a_model_that_is_busy_is_asked_again_with_the_next_answer(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = BusyEmbedder()

    async def walk() -> None:
        async with serving(library, embedder=embedder) as (served, view):
            await served.of(view())
            await until(lambda: "could not be improved yet" in caplog.text)
            embedder.is_free = True
            await settled(served, view())

    with caplog.at_level(logging.WARNING):
        asyncio.run(walk())
