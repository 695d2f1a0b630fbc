"""The indexed pictures one by one: their records, their files, their thumbnails, and the folders they lie in."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from app.catalog.view import View
from app.encoder.workers import Workers
from app.http.addresses import Locator
from app.library.thumbnails import Thumbnails
from app.storage.base import ObjectInfo, ObjectStore, content_type_of
from app.types import Hit, ImageRecord, ancestors_of


@dataclass(frozen=True, slots=True)
class FolderCount:
    """How many pictures lie directly in a folder, and in it and everything below."""

    path: str
    direct: int
    nested: int


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """The file of a picture as it is in the store."""

    info: ObjectInfo
    content_type: str


class Library:
    """Reads the pictures of a view from the store."""

    def __init__(
        self, store: ObjectStore, locator: Locator, thumbnails: Thumbnails, workers: Workers, making: Workers
    ) -> None:
        """`making` are the threads that make thumbnails; a slow picture keeps no other call waiting."""
        self._store = store
        self._locator = locator
        self._thumbnails = thumbnails
        self._workers = workers
        self._making = making

    async def find(self, image_id: str, view: View) -> Hit:
        """The picture as a search would answer it. Raises ImageNotFound."""
        return await self._workers.run(self._locator.locate, view.record(image_id))

    async def original(self, image_id: str, view: View) -> OriginalFile:
        """Raises ImageNotFound, ObjectNotFound, StorageUnavailable."""
        key = view.record(image_id).object_key
        return OriginalFile(await self._workers.run(self._store.head, key), content_type_of(key))

    async def stream(self, original: OriginalFile) -> AsyncIterator[bytes]:
        """The file in chunks. The first chunk is read at once, so that errors are raised here."""
        chunks = self._store.stream(original.info.key)
        first = await self._workers.run(next, chunks, b"")
        return self._rest(first, chunks)

    async def _rest(self, first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        yield first
        async for chunk in self._workers.iterate(chunks):
            yield chunk

    async def thumbnail(self, record: ImageRecord) -> bytes:
        """WebP bytes. Raises ImageNotFound, ObjectNotFound, StorageUnavailable."""
        if kept := await self._workers.run(self._thumbnails.kept, record):
            return kept
        return await self._making.run(self._thumbnails.make, record)

    async def folders(self, view: View) -> list[FolderCount]:
        """Every folder that holds a picture, directly or below, sorted by path."""
        return await self._workers.run(count_folders, view)


def count_folders(view: View) -> list[FolderCount]:
    """The folders of a view with their counts. Pictures at the root of the bucket are in none of them."""
    nested: Counter[str] = Counter()
    for folder, pictures in view.folders.items():
        for path in [*ancestors_of(folder), folder]:
            nested[path] += pictures
    return [FolderCount(path, view.folders.get(path, 0), nested[path]) for path in sorted(nested) if path]
