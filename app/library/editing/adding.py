"""Pictures that people add: checked, embedded, stored, and in the index when the answer returns.

The object is written first and its row is published last. A crash between the two leaves an object without a row,
which the next index run finds like any other picture. When the publication fails, the object is deleted again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from weakref import WeakValueDictionary

from app.catalog.changes import Changes
from app.catalog.view import View
from app.encoder.encoder import Encoder, PictureFile
from app.encoder.workers import Workers
from app.errors import (
    AppError,
    Conflict,
    FolderNotFound,
    InvalidInput,
    ObjectNotFound,
    PreconditionFailed,
    StorageUnavailable,
)
from app.ingest.reading import Content, facts_of_picture, make_record
from app.library.editing.captioning import Captioning
from app.library.editing.edits import Edit, Edits
from app.library.editing.keys import checked_folder, checked_name, numbered
from app.pictures.formats import recognise
from app.storage.base import ObjectInfo, ObjectStore, content_type_of
from app.types import PERSON, ImageRecord, Source, Vectors, hash_content, image_id_of

log = logging.getLogger(__name__)

MAX_NUMBER = 100_000
"""Pictures of one name in one folder."""


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A file and what is said of it."""

    data: bytes
    name: str = ""
    """The file's name, of which the object's key is made."""
    folder: str = ""
    source: Source | None = None
    caption: str | None = None
    """In a person's words."""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """The picture as it is in the index now."""

    record: ImageRecord
    is_new: bool
    """False where the folder had a picture of the same content."""


class Adding:
    """Adds pictures to store and index. For one event loop."""

    def __init__(
        self,
        store: ObjectStore,
        encoder: Encoder,
        edits: Edits,
        *,
        workers: Workers,
        max_bytes: int,
        keep_location: bool,
        current_view: Callable[[], View | None],
        is_excluded: Callable[[str], bool],
        captioning: Captioning,
        measured: Callable[[ImageRecord, Vectors], ImageRecord],
    ) -> None:
        """`workers` wait for the store; `keep_location` as METADATA_GPS.

        `is_excluded` are keys and folders that are never indexed. `captioning` describes pictures that come without a
        caption. `measured` notes in a record what searches need to know of its vector.
        """
        self._captioning = captioning
        self._measured = measured
        self._store = store
        self._encoder = encoder
        self._edits = edits
        self._workers = workers
        self._max_bytes = max_bytes
        self._keep_location = keep_location
        self._current_view = current_view
        self._is_excluded = is_excluded
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By content and folder."""

    async def add(self, new: NewPicture, seen: View | None = None) -> Added:
        """Store the picture and put it into the index. `seen` is what the caller may see; None: everything.

        Where the folder has a picture of the same bytes, that one is the answer. A name that is taken gets a number.
        Raises FolderNotFound, InvalidInput and its kinds, Conflict, Overloaded, Unavailable, IndexMismatch and
        IndexCorrupt.
        """
        folder = self.check_folder(new.folder, seen)
        name = checked_name(new.name, recognise(new.data), self._is_excluded)
        content_hash = hash_content(new.data)
        async with self._turns.setdefault(f"{content_hash} in {folder}", asyncio.Lock()):
            return await self._add(new, name, folder, content_hash)

    async def _add(self, new: NewPicture, name: str, folder: str, content_hash: str) -> Added:
        """For one caller of this content and folder at a time: no other one relies on an object that is taken back."""
        if present := await self._workers.run(self._present, content_hash, folder):
            return Added(present, is_new=False)
        picture, vector = await self._encoder.read(PictureFile(new.data))
        caption = None if new.caption else await self._captioning.describe_new(new.data)
        info, is_ours = await self._workers.run(self._store_as, numbered(folder, name), new.data, content_hash)
        facts = await self._workers.run(partial(facts_of_picture, picture, keep_location=self._keep_location))
        content = Content(info, info.etag, len(new.data), content_hash, picture, picture.flaw)
        record = replace(
            self._measured(make_record(content, picture.width, picture.height, facts, time.time()), vector),
            caption=new.caption,
            caption_by=PERSON if new.caption else None,
            tags=new.tags,
            source=new.source,
        )
        return await self._publish(caption.on(record) if caption else record, vector, is_ours=is_ours)

    def check_folder(self, folder: str, seen: View | None) -> str:
        """The folder as it is stored. Raises InvalidInput where no picture may lie, FolderNotFound as in `add`."""
        path = checked_folder(folder, self._is_excluded)
        if seen is not None and not seen.shows(path):
            raise FolderNotFound(f"You can't add pictures to the folder {path!r}. Name one that you can see.")
        return path

    def _present(self, content_hash: str, folder: str) -> ImageRecord | None:
        view = self._current_view()
        return view.find_content(content_hash, folder) if view else None

    async def _publish(self, record: ImageRecord, vector: Vectors, *, is_ours: bool) -> Added:
        """`is_ours`: we wrote the object just now, and may take it back."""

        def plan(view: View | None) -> tuple[Changes, Added]:
            twin = view.find_content(record.content_hash, record.folder) if view else None
            if twin is not None and twin.image_id != record.image_id:
                return Changes(), Added(twin, is_new=False)
            ours = _with_words_of(twin, record)
            if ours == twin:
                return Changes(), Added(ours, is_new=False)
            forgotten = frozenset({record.object_key})
            return Changes(added=(ours,), vectors=vector[None], forgotten=forgotten), Added(ours, is_new=twin is None)

        try:
            added = await self._edits.make(Edit(frozenset({record.image_id}), plan))
        except StorageUnavailable:
            raise  # perhaps it was published: the object stays, and the next index run finds it
        except AppError:
            if is_ours:
                await self._workers.run(self._take_back, record)
            raise
        if is_ours and added.record.image_id != record.image_id:
            await self._workers.run(self._take_back, record)
        return added

    def _store_as(self, keys: Iterator[str], data: bytes, content_hash: str) -> tuple[ObjectInfo, bool]:
        """Write the object under the first key that is free; True if so. A key that has these bytes will do as well."""
        view = self._current_view()
        for key in islice(keys, MAX_NUMBER):
            if view is not None and image_id_of(key) in view:
                continue
            try:
                self._store.put(key, data, content_type=content_type_of(key), if_none_match=True)
            except PreconditionFailed:
                if not self._has(key, content_hash):
                    continue
                with suppress(ObjectNotFound):  # another replica has just taken it back
                    return self._store.head(key), False
                continue
            return self._store.head(key), True
        raise Conflict("The folder has too many pictures of this name. Send the picture under another name.")

    def _has(self, key: str, content_hash: str) -> bool:
        """Whether the object has this content: our own reply was lost, or an earlier try was cut off."""
        try:
            return hash_content(self._store.get(key, max_bytes=self._max_bytes).data) == content_hash
        except (ObjectNotFound, InvalidInput):
            return False

    def _take_back(self, record: ImageRecord) -> None:
        """Delete an object that came into no index."""
        try:
            self._store.delete(record.object_key)
        except StorageUnavailable as error:
            log.warning(
                "%s was not indexed and could not be deleted; the next run adds it: %s", record.object_key, error
            )


def _with_words_of(twin: ImageRecord | None, record: ImageRecord) -> ImageRecord:
    """`record`, or the row that an index run has made of the same object, with the words that were sent."""
    if twin is None:
        return record
    said = {name: value for name in ("caption", "caption_by", "tags", "source") if (value := getattr(record, name))}
    return replace(twin, **said)
