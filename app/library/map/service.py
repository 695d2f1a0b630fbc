"""The map: the library in two dimensions, where pictures that look alike lie together, with names on its regions.

A layout is made of the whole library, by principal components at once and by UMAP (extra `map`) when a process of low
priority has worked it out. It is kept in `_map/`. Pictures that come later are put beside their neighbours. When they
are too many, a new layout is made and turned onto the old one, so that nothing jumps. An answer has the part of it
that the caller may see; the regions are made of that part alone.
"""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from cachetools import LRUCache

from app.catalog.view import View
from app.encoder.encoder import Encoder, Text
from app.encoder.workers import Workers
from app.errors import AppError
from app.library.map.cartography import Cartographer, PictureMap
from app.library.map.layout import Points
from app.library.map.store import MapStore
from app.library.map.words import WORDS
from app.scratch import scratch_folder
from app.types import Vectors

log = logging.getLogger(__name__)

SCRATCH_PREFIX = "image2search-map-"

COMMAND = (sys.executable, "-m", "app.library.map.umap")
"""Takes a folder, see there."""

ANSWERS: Final = 4
"""Answers that are remembered, one for each state and scope."""

TEXTS_AT_ONCE: Final = 8
"""Words in one pass of the model: a search never waits for more."""

TEXTS: Final = tuple(f"a photo of {word}" for word in WORDS)


class LibraryMap:
    """Answers with maps, and improves them in the background while nothing waits for it. For one event loop."""

    def __init__(
        self,
        cartographer: Cartographer,
        store: MapStore,
        encoder: Encoder,
        making: Workers,
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`making` has one thread: layouts are made one after the other, and keep no search waiting."""
        self._cartographer = cartographer
        self._store = store
        self._encoder = encoder
        self._making = making
        self._command = tuple(command)
        self._word_vectors: Vectors | None = None
        self._answers: LRUCache[tuple[str, ...], PictureMap] = LRUCache(ANSWERS)
        self._epoch = 0
        self._improving: asyncio.Task[None] | None = None

    async def of(self, view: View) -> PictureMap:
        """The map of this view. The first one of a library takes some seconds for 100,000 pictures.

        Raises IndexNotReady, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable, Overloaded.
        """
        answer = self._answers.get(view.state)
        if answer is None:
            epoch = self._epoch
            answer = await self._making.run(self._cartographer.chart, view, self._word_vectors)
            if epoch == self._epoch:
                self._answers[view.state] = answer
        if answer.pending and (self._improving is None or self._improving.done()):
            self._improving = asyncio.create_task(self._improve(view), name="map")
        return answer

    async def encoded(self, encode: Callable[[PictureMap], bytes], answer: PictureMap) -> bytes:
        """`encode(answer)`, off the event loop."""
        return await self._making.run(encode, answer)

    async def stop(self) -> None:
        """End the work in the background. What it has not kept is made again."""
        if self._improving is not None:
            self._improving.cancel()
            await asyncio.wait([self._improving])

    async def _improve(self, view: View) -> None:
        """Embed the words, then make the UMAP layout. What is not available now is tried again with the next answer."""
        try:
            if self._word_vectors is None:
                self._word_vectors = await self._embedded_words(view)
                self._forget_answers()
            if self._cartographer.wants_umap:
                await self._make_umap()
                self._forget_answers()
        except AppError as error:
            log.warning("The map could not be improved yet: %s", error)

    def _forget_answers(self) -> None:
        self._epoch += 1
        self._answers.clear()

    async def _embedded_words(self, view: View) -> Vectors:
        """(N, D), embedded once for each model and then kept."""
        fingerprint = self._encoder.identity.fingerprint
        kept = await self._making.run(self._store.word_vectors, fingerprint, TEXTS)
        if kept is not None:
            return kept
        vectors: list[Vectors] = []
        for start in range(0, len(TEXTS), TEXTS_AT_ONCE):
            texts = TEXTS[start : start + TEXTS_AT_ONCE]
            vectors += await asyncio.gather(*(self._encoder.encode(Text(text), view) for text in texts))
        embedded = np.stack(vectors)
        await self._making.run(self._store.keep_word_vectors, fingerprint, TEXTS, embedded)
        return embedded

    async def _make_umap(self) -> None:
        if await self._making.run(self._cartographer.adopt_kept):
            return
        try:
            with scratch_folder(Path(tempfile.gettempdir()), SCRATCH_PREFIX) as folder:
                laid_out = await self._making.run(self._cartographer.write_input, folder)
                await self._run_umap(folder)
                points = _read_points(folder, len(laid_out))
        except (OSError, ValueError) as error:
            log.error("UMAP can't lay out the map, so the principal components stay: %s", error)
            self._cartographer.give_up_umap()
            return
        await self._making.run(self._cartographer.adopt, laid_out, points)

    async def _run_umap(self, folder: Path) -> None:
        """Raises OSError with what the process said last."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            str(folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal reaches only this process, which ends the other one
        )
        assert process.stderr is not None
        try:
            said = (await process.stderr.read()).decode(errors="replace").strip()
            if await process.wait():
                raise OSError(said.rpartition("\n")[2] or f"the process ended with exit code {process.returncode}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _read_points(folder: Path, count: int) -> Points:
    """(count, 2). Raises OSError, ValueError."""
    points: Points = np.load(folder / "points.npy")
    if points.shape != (count, 2) or not np.isfinite(points).all():
        raise ValueError(f"{count} finite points are wanted, and it made an array of shape {points.shape}.")
    return points
