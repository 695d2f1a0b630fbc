"""The one search walk: text or picture -> vector -> nearest rows of one snapshot -> hits with their addresses."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from app.catalog.changes import Snapshot
from app.catalog.live import LiveCatalog
from app.encoder.batching import MicroBatcher
from app.encoder.workers import Workers
from app.errors import IndexNotReady
from app.pictures.decoding import Picture
from app.search.folders import FolderChoice, FolderNames
from app.settings import ImageSettings
from app.storage.base import ObjectStore
from app.types import Hit, ImageRecord, Vectors

SHORT_QUERY = 100
"""Characters; in so many a folder's name is found or missed within a quarter of a millisecond, among any number."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A hit and where its picture is."""

    record: ImageRecord
    score: float
    distance: float
    uri: str
    """The store's canonical name for it, `s3://bucket/key`."""
    url: str | None
    """Where a browser gets it from the store; None where only the service can hand it out."""


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What a search found, in which folder and in which generation."""

    images: list[FoundImage]
    folder: FolderChoice | None
    generation: str
    took_ms: float


class SearchService:
    """Searches the live snapshot. Each request reads one snapshot from start to end."""

    def __init__(
        self,
        live: LiveCatalog,
        batcher: MicroBatcher,
        store: ObjectStore,
        workers: Workers,
        images: ImageSettings,
        *,
        link_expires_s: int,
        read: Callable[[bytes, ImageSettings], Picture],
    ) -> None:
        """`read` is the embedder's, so that pictures that wait take little memory."""
        self._live = live
        self._batcher = batcher
        self._store = store
        self._workers = workers
        self._images = images
        self._link_expires_s = link_expires_s
        self._read = read
        self._names: tuple[str, FolderNames] = ("", FolderNames(()))

    def prepare(self) -> None:
        """Make what the first search would otherwise wait for."""
        with suppress(IndexNotReady):
            self._folder_names(self._live.current)

    async def search_text(self, query: str, k: int, *, folder: str = "", auto_folder: bool = True) -> SearchAnswer:
        """The k pictures nearest to a text, in the folder asked for or else in the one that the text names.

        Raises FolderNotFound, IndexNotReady, Overloaded.
        """
        started = time.perf_counter()
        snapshot = self._live.current
        choice = await self._choice(snapshot, query, folder, auto_folder)
        text = choice.embedded_text if choice and choice.embedded_text else query
        vector = await self._batcher.embed_text(text)
        return await self._answer(snapshot, vector, k, choice, started)

    async def search_image(self, data: bytes, k: int, *, folder: str = "") -> SearchAnswer:
        """The k pictures nearest to a picture file.

        Raises InvalidImage, ImageTooLarge, UnsupportedImageType, FolderNotFound, IndexNotReady, Overloaded.
        """
        started = time.perf_counter()
        snapshot = self._live.current
        choice = await self._choice(snapshot, "", folder, auto_folder=False)
        image = await self._workers.run(self._decode, data)
        vector = await self._batcher.embed_image(image)
        return await self._answer(snapshot, vector, k, choice, started)

    async def _answer(
        self, snapshot: Snapshot, vector: Vectors, k: int, choice: FolderChoice | None, started: float
    ) -> SearchAnswer:
        images = await self._workers.run(self._find, snapshot, vector, k, choice.paths if choice else ())
        took_ms = round((time.perf_counter() - started) * 1000, 2)
        return SearchAnswer(images, choice, snapshot.pointer.generation, took_ms)

    def _decode(self, data: bytes) -> Image.Image:
        return self._read(data, self._images).image

    async def _choice(self, snapshot: Snapshot, query: str, folder: str, auto_folder: bool) -> FolderChoice | None:
        """As `_choose`, which is faster than the way to a thread when it looks for known names in a short query."""
        is_quick = not auto_folder or (len(query) <= SHORT_QUERY and self._names[0] == snapshot.pointer.token)
        if is_quick and not folder:
            return self._choose(snapshot, query, folder, auto_folder)
        return await self._workers.run(self._choose, snapshot, query, folder, auto_folder)

    def _choose(self, snapshot: Snapshot, query: str, folder: str, auto_folder: bool) -> FolderChoice | None:
        if folder.strip("/ "):
            path = self._folder_names(snapshot).resolve(folder)
            return FolderChoice(path, "asked", embedded_text=query or None)
        return self._folder_names(snapshot).detect(query) if auto_folder else None

    def _folder_names(self, snapshot: Snapshot) -> FolderNames:
        """Made once for each published state; two threads may make it twice, and both are right."""
        token, names = self._names
        if token != snapshot.pointer.token:
            names = FolderNames(snapshot.folders)
            self._names = (snapshot.pointer.token, names)
        return names

    def _find(self, snapshot: Snapshot, vector: Vectors, k: int, folders: tuple[str, ...]) -> list[FoundImage]:
        (rows,) = snapshot.search(vector[None], k, folders=folders)
        records = snapshot.records.take([row for row, _ in rows])
        return [self._found(Hit(record, score)) for record, (_, score) in zip(records, rows, strict=True)]

    def _found(self, hit: Hit) -> FoundImage:
        key = hit.record.object_key
        url = self._store.url(key, self._link_expires_s)
        return FoundImage(hit.record, hit.score, hit.distance, self._store.uri(key), url)
