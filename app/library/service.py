"""The indexed pictures one by one: their records, their files, their thumbnails, and the folders they lie in."""

import mimetypes
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from app.catalog.changes import Snapshot
from app.catalog.live import LiveCatalog
from app.encoder.workers import Workers
from app.errors import ImageNotFound
from app.library.thumbnails import Thumbnails
from app.search.service import FoundImage
from app.storage.base import ObjectInfo, ObjectStore
from app.types import ImageRecord, row_id


@dataclass(frozen=True, slots=True)
class FolderCount:
    """Pictures directly in a folder, and in it and everything below."""

    path: str
    direct: int
    nested: int


@dataclass(frozen=True, slots=True)
class Original:
    """A picture's file: what it is, and its bytes when they are asked for."""

    info: ObjectInfo
    content_type: str


class Library:
    """Reads pictures of the live snapshot out of the store."""

    def __init__(
        self, live: LiveCatalog, store: ObjectStore, thumbnails: Thumbnails, workers: Workers, *, link_expires_s: int
    ) -> None:
        self._live = live
        self._store = store
        self._thumbnails = thumbnails
        self._workers = workers
        self._link_expires_s = link_expires_s

    def record(self, image_id: str) -> ImageRecord:
        """Raises ImageNotFound, IndexNotReady."""
        records = self._live.current.records
        try:
            record = records.get(row_id(image_id))
        except (ValueError, OverflowError):
            record = None
        if record is None or record.image_id != image_id:
            raise ImageNotFound(f"No indexed picture has the id {image_id!r}. Take ids from search results.")
        return record

    async def find(self, image_id: str) -> FoundImage:
        """The picture as a search would answer it, at distance 0 from itself. Raises ImageNotFound, IndexNotReady."""
        record = self.record(image_id)
        url = await self._workers.run(self._store.url, record.object_key, self._link_expires_s)
        return FoundImage(record, 1.0, 0.0, self._store.uri(record.object_key), url)

    async def original(self, image_id: str) -> Original:
        """Raises ImageNotFound, ObjectNotFound, IndexNotReady, StorageUnavailable."""
        record = self.record(image_id)
        info = await self._workers.run(self._store.head, record.object_key)
        return Original(info, content_type_of(record.object_key))

    async def stream(self, original: Original) -> AsyncIterator[bytes]:
        """The file in chunks. The first one is read at once, so that what is wrong is raised here."""
        chunks = self._store.stream(original.info.key)
        first = await self._workers.run(next, chunks, b"")
        return self._rest(first, chunks)

    async def _rest(self, first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        yield first
        async for chunk in self._workers.iterate(chunks):
            yield chunk

    async def thumbnail(self, record: ImageRecord) -> bytes:
        """WebP bytes. Raises ImageNotFound, ObjectNotFound, StorageUnavailable."""
        return await self._workers.run(self._thumbnails.get, record)

    async def folders(self) -> tuple[Snapshot, list[FolderCount]]:
        """Every folder that holds a picture, directly or below, sorted by path."""
        snapshot = self._live.current
        return snapshot, await self._workers.run(count_folders, snapshot)


def count_folders(snapshot: Snapshot) -> list[FolderCount]:
    """Folders of one snapshot with their counts; pictures at the bucket's root are in none."""
    nested: Counter[str] = Counter()
    for folder, pictures in snapshot.folders.items():
        parts = folder.split("/") if folder else []
        for depth in range(1, len(parts) + 1):
            nested["/".join(parts[:depth])] += pictures
    return [FolderCount(path, snapshot.folders.get(path, 0), nested[path]) for path in sorted(nested)]


def content_type_of(object_key: str) -> str:
    """By the key's suffix; never a type that a browser would run."""
    guessed = mimetypes.guess_type(object_key.rpartition("/")[2].lower(), strict=False)[0] or ""
    return guessed if guessed.startswith("image/") and guessed != "image/svg+xml" else "application/octet-stream"
