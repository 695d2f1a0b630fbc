"""The indexed pictures one by one: their records, their files, their thumbnails, and the folders they lie in."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import ObjectArchived
from app.http.addresses import Locator
from app.http.ranges import ByteRange
from app.ingest.reading import HEAD_BYTES
from app.library.thumbnails import Thumbnail, Thumbnails, ThumbnailSize
from app.pictures.formats import FORMATS_BY_NAME, Format, format_of
from app.storage.base import ObjectInfo, ObjectStore, content_type_of
from app.types import Hit, Ids, ImageRecord, ancestors_of, row_id
from app.vectors.rows import locate

PART_BYTES: Final = 4 << 20
"""Read at once of a part of a file."""


@dataclass(frozen=True, slots=True)
class FolderCount:
    """How many pictures lie directly in a folder, and in it and everything below."""

    path: str
    direct: int
    nested: int


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """The file of a picture as it is in the store."""

    record: ImageRecord
    """As it was indexed; the file may be another one by now."""
    info: ObjectInfo


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
        return await self.locate(view.record(image_id))

    async def rows(self, view: View) -> Ids:
        """The row ids of all pictures, sorted by object key."""
        return await self._workers.run(lambda: view.columns.rows[view.columns.order])

    async def numbers(self, image_ids: Sequence[str], view: View) -> list[int]:
        """The places of these pictures of the view in `rows`."""
        return await self._workers.run(_numbers, image_ids, view)

    async def records(self, rows: Sequence[int], view: View) -> list[ImageRecord]:
        """The records of these rows, in that order."""
        return await self._workers.run(view.records_of, rows)

    async def locate_rows(self, rows: Sequence[int], view: View) -> list[Hit]:
        """The pictures of these rows with their addresses. Raises StorageUnavailable."""
        return await self._workers.run(lambda: [self._locator.locate(record) for record in view.records_of(rows)])

    async def locate(self, record: ImageRecord) -> Hit:
        """A record with its addresses. Raises StorageUnavailable when the store can't sign one."""
        return await self._workers.run(self._locator.locate, record)

    async def original(self, image_id: str, view: View) -> OriginalFile:
        """Raises ImageNotFound, ObjectNotFound, ObjectArchived, StorageUnavailable."""
        record = view.record(image_id)
        return OriginalFile(record, await self._workers.run(self._store.head, record.object_key))

    async def content_type(self, original: OriginalFile) -> str:
        """By the content, or else by the name. Raises ObjectNotFound, StorageUnavailable."""
        return await self._workers.run(self._content_type, original)

    def _content_type(self, original: OriginalFile) -> str:
        record, info = original.record, original.info
        known = record.format if record.etag == info.etag else None
        found = FORMATS_BY_NAME.get(known) if known else self._recognised(info)
        return (found and found.media_type) or content_type_of(info.key)

    def _recognised(self, info: ObjectInfo) -> Format | None:
        """The format by the first bytes; None where they are packed or archived, or of no picture."""
        with suppress(ObjectArchived):
            return None if info.packed else format_of(self._store.get_range(info.key, 0, HEAD_BYTES))
        return None

    async def read(self, original: OriginalFile, part: ByteRange) -> AsyncIterator[bytes]:
        """A part of the file in chunks, in bounded memory. The file must not be packed."""
        for start in range(part.start, part.end, PART_BYTES):
            length = min(PART_BYTES, part.end - start)
            yield await self._workers.run(self._store.get_range, original.info.key, start, length)

    async def stream(self, original: OriginalFile) -> AsyncIterator[bytes]:
        """The file in chunks. The first chunk is read at once, so that errors are raised here."""
        chunks = self._store.stream(original.info.key)
        first = await self._workers.run(next, chunks, b"")
        return self._rest(first, chunks)

    async def _rest(self, first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        yield first
        async for chunk in self._workers.iterate(chunks):
            yield chunk

    async def thumbnail(self, record: ImageRecord, size: ThumbnailSize) -> Thumbnail:
        """Raises ImageNotFound, ObjectNotFound, StorageUnavailable."""
        if kept := await self._workers.run(self._thumbnails.kept, record, size):
            return kept
        return await self._making.run(self._thumbnails.make, record, size)

    async def folders(self, view: View) -> list[FolderCount]:
        """Every folder that holds a picture, directly or below, sorted by path."""
        return await self._workers.run(count_folders, view)


def _numbers(image_ids: Sequence[str], view: View) -> list[int]:
    """One pass over the rows of the view: sorting them would take longer."""
    wanted = np.array([row_id(image_id) for image_id in image_ids], np.int64)
    places, found = locate(wanted, np.argsort(wanted), view.columns.rows[view.columns.order])
    numbers = np.zeros(len(wanted), np.int64)
    numbers[places[found]] = np.flatnonzero(found)
    return numbers.tolist()


def count_folders(view: View) -> list[FolderCount]:
    """The folders of a view with their counts. Pictures at the root of the bucket are in none of them."""
    nested: Counter[str] = Counter()
    for folder, pictures in view.folders.items():
        for path in [*ancestors_of(folder), folder]:
            nested[path] += pictures
    return [FolderCount(path, view.folders.get(path, 0), nested[path]) for path in sorted(nested) if path]
