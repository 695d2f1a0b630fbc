"""Pictures that people delete: object, thumbnails and row, one by one or by what a filter and a query select.

The copy for the trash is written first, then the object is deleted, then the row. A crash in between leaves a row
without an object, which the next index run removes, or a copy in the trash, which grows old there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from app.catalog.changes import Changes
from app.catalog.filters import Filters
from app.catalog.layout import TRASH_PREFIX
from app.catalog.view import View
from app.encoder.encoder import Encoder, Text
from app.encoder.workers import Workers
from app.errors import (
    AppError,
    Conflict,
    DeletionNotFound,
    InvalidInput,
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    StorageUnavailable,
    Unavailable,
)
from app.library.atlas.service import Atlas
from app.library.editing.edits import Edit, Edits
from app.library.editing.keys import numbered
from app.library.editing.trash import Note, Trash, new_deletion_id
from app.library.thumbnails import Thumbnails
from app.settings import DeleteSettings
from app.storage.base import ObjectStore, content_type_of
from app.types import Ids, ImageRecord, Vectors, image_id_of, row_id

log = logging.getLogger(__name__)

PART: Final = 500
"""Pictures whose rows are removed by one publication."""

AT_ONCE: Final = 12
"""Objects that one deletion copies and deletes at the same time. Other calls of the store get a turn as well."""

PATIENCE_S: Final = 10.0
"""How long a request waits for its deletion."""

HISTORY: Final = 50
"""Deletions that are remembered after their end, besides those in the trash."""

TIDY_EVERY_S: Final = 6 * 3600.0
"""Between two looks for what is old in the trash."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Pictures by their ids, or all that fit filters; with a query, those that fit it best."""

    image_ids: tuple[str, ...] = ()
    filters: Filters | None = None
    query: str = ""
    limit: int | None = None
    """How many pictures at most, the best first; needs a query."""
    min_score: float | None = None
    """Only pictures whose cosine with the query is at least this."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection means in one view."""

    rows: Ids
    """Row ids; with a query, the best first."""
    missing: tuple[str, ...] = ()
    """Ids that no picture has."""


class DeletionState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Deletion:
    """One deletion, while it goes on and after it."""

    id: str
    total: int
    """Pictures to delete."""
    keeps: bool
    """Whether it can be undone."""
    missing: tuple[str, ...] = ()
    count: int = 0
    """Pictures that are deleted so far."""
    state: DeletionState = DeletionState.RUNNING
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    records: tuple[ImageRecord, ...]
    lost: tuple[str, ...] = ()
    """Keys of pictures whose objects were gone before they were deleted."""


class Deleting:
    """Deletes pictures and brings them back. For one event loop."""

    def __init__(
        self,
        store: ObjectStore,
        thumbnails: Thumbnails,
        atlas: Atlas,
        edits: Edits,
        *,
        encoder: Encoder,
        workers: Workers,
        settings: DeleteSettings,
    ) -> None:
        """`workers` wait for the store, `encoder` embeds the query of a selection."""
        self._store = store
        self._thumbnails = thumbnails
        self._atlas = atlas
        self._encoder = encoder
        self._edits = edits
        self._workers = workers
        self._settings = settings
        self._trash = Trash(store, settings.keep_days)
        self._deletions: dict[str, Deletion] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Look now and then for what is old in the trash."""
        self._tidying = asyncio.create_task(self._tidy(), name="trash")

    async def stop(self) -> None:
        """Deletions end after the part that is under way."""
        self._stopping = True
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait([self._tidying, *self._tasks.values()])

    async def select(self, selection: Selection, view: View) -> Selected:
        """The pictures that are meant. Raises InvalidInput, Overloaded, Unavailable, VectorStoreUnavailable."""
        if selection.image_ids:
            ids = dict.fromkeys(selection.image_ids)
            rows = [row_id(image_id) for image_id in ids if image_id in view]
            return Selected(np.array(rows, np.int64), tuple(image_id for image_id in ids if image_id not in view))
        if selection.filters is None:
            raise InvalidInput("Nothing is selected. Name pictures in `image_ids`, or give `filters`.")
        rows_that_fit = await self._workers.run(selection.filters.rows, view)
        if not selection.query:
            return Selected(rows_that_fit)
        vector = await self._encoder.encode(Text(selection.query), view)
        return Selected(await self._workers.run(best, rows_that_fit, vector, selection, view))

    async def delete(self, selected: Selected, view: View, *, permanently: bool = False) -> Deletion:
        """Delete these pictures. After `PATIENCE_S` it goes on by itself; `find` tells how far it is.

        Raises Conflict, Overloaded, StorageUnavailable, VectorStoreUnavailable for what fails in this time.
        """
        keeps = self._settings.mode == "trash" and not permanently
        deletion = Deletion(new_deletion_id(), len(selected.rows), keeps, selected.missing)
        if not deletion.total:
            deletion.state, deletion.keeps = DeletionState.DONE, False
            return deletion
        self._remember(deletion)
        task = asyncio.create_task(self._delete(deletion, selected.rows, view), name=f"deletion {deletion.id}")
        self._tasks[deletion.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(deletion.id, None))
        done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
        if done:
            task.result()
        else:
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # told by the deletion
        return deletion

    async def find(self, deletion_id: str) -> Deletion:
        """A deletion of this replica, or one that can still be undone. Raises DeletionNotFound, StorageUnavailable."""
        if deletion := self._deletions.get(deletion_id):
            return deletion
        note = await self._workers.run(self._trash.note, deletion_id)
        state = DeletionState.DONE if note.count == note.total else DeletionState.FAILED
        return Deletion(note.id, note.total, keeps=True, count=note.count, state=state)

    async def restore(self, deletion_id: str, seen: View | None = None) -> Restored:
        """Bring back what a deletion took. A key that another picture has now gets a number.

        `seen` is what the caller may see; None: everything.
        Raises DeletionNotFound, Conflict, Overloaded, StorageUnavailable, VectorStoreUnavailable.
        """
        if deletion_id in self._tasks:
            raise Conflict(f"The deletion {deletion_id} is still going on. Undo it when it is over.")
        note = await self._workers.run(self._trash.note, deletion_id)
        fingerprint = self._encoder.identity.fingerprint
        if note.fingerprint != fingerprint:
            raise Conflict(
                f"The vectors of the deletion {deletion_id} were made by another model ({note.fingerprint}) than the "
                f"one that runs ({fingerprint}). Set MODEL back to undo it, or copy the files from "
                f"{TRASH_PREFIX}{deletion_id}/files/."
            )
        records: list[ImageRecord] = []
        lost: list[str] = []
        parts = await self._workers.run(lambda: list(self._trash.rows(deletion_id)))
        if seen is not None and not all(seen.shows(record.folder) for part in parts for record in part.added):
            raise DeletionNotFound(f"There is no deletion {deletion_id!r} in the trash.")
        for part in parts:
            restored = await self._workers.run(self._restore_files, deletion_id, part)
            lost += [record.object_key for record in part.added if record.object_key not in restored]
            back = await self._edits.make(_return_of(part, restored))
            records += back
        self._deletions.pop(deletion_id, None)
        await self._workers.run(self._trash.forget, deletion_id)
        return Restored(tuple(records), tuple(lost))

    def _remember(self, deletion: Deletion) -> None:
        self._deletions[deletion.id] = deletion
        over = [each.id for each in self._deletions.values() if each.state is not DeletionState.RUNNING]
        for old in over[:-HISTORY]:
            del self._deletions[old]

    async def _delete(self, deletion: Deletion, rows: Ids, view: View) -> None:
        try:
            for number, part in enumerate(_parts(rows)):
                if self._stopping:
                    raise Unavailable(f"The service stopped after {deletion.count} of {deletion.total} pictures.")
                deletion.count += await self._delete_part(deletion, number, part, view)
                await self._note(deletion)
        except AppError as error:
            deletion.state, deletion.error = DeletionState.FAILED, str(error)
            log.warning("Deletion %s failed after %d of %d: %s", deletion.id, deletion.count, deletion.total, error)
            raise
        deletion.state = DeletionState.DONE
        log.info("Deletion %s: %d pictures.", deletion.id, deletion.count)

    async def _delete_part(self, deletion: Deletion, number: int, rows: list[int], view: View) -> int:
        """Returns how many rows went."""
        records = await self._workers.run(view.records_of, rows)
        if deletion.keeps:
            kept = Changes(added=tuple(records), vectors=await self._workers.run(view.vectors_of, rows))
            await self._workers.run(self._trash.keep_rows, deletion.id, number, kept)
            await self._note(deletion)  # a deletion that is cut off can be undone too
        await self._on_each(records, self._keep_file, deletion)
        await self._on_each(records, self._delete_files)
        removed = await self._edits.make(_removal_of(records))
        await self._workers.run(self._delete_from_atlas, records)
        return removed

    async def _note(self, deletion: Deletion) -> None:
        if deletion.keeps:
            fingerprint = self._encoder.identity.fingerprint
            note = Note(deletion.id, deletion.count, deletion.total, fingerprint)
            await self._workers.run(self._trash.keep_note, note)

    async def _on_each(self, records: Iterable[ImageRecord], call: Callable[..., None], *arguments: Any) -> None:
        """Call it for each record, several at a time. Raises the first error, after all are over."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def run(record: ImageRecord) -> None:
            async with gate:
                await self._workers.run(call, record, *arguments)

        outcomes = await asyncio.gather(*map(run, records), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _keep_file(self, record: ImageRecord, deletion: Deletion) -> None:
        if deletion.keeps:
            self._trash.keep_file(deletion.id, record)

    def _delete_files(self, record: ImageRecord) -> None:
        self._store.delete(record.object_key)
        self._thumbnails.remove(record.image_id)

    def _delete_from_atlas(self, records: Sequence[ImageRecord]) -> None:
        """What can't be deleted now is shown by no route, and goes when the atlas is drawn again."""
        try:
            self._atlas.remove(record.image_id for record in records)
        except StorageUnavailable as error:
            log.warning("Deleted pictures could not be deleted from the atlas yet: %s", error)

    def _restore_files(self, deletion_id: str, part: Changes) -> dict[str, ImageRecord]:
        """Put the objects back. Returns the new records by the old keys, without those whose files are lost."""
        restored: dict[str, ImageRecord] = {}
        for record in part.added:
            data = self._trash.file(deletion_id, record)
            if data is not None:
                restored[record.object_key] = self._put_back(record, data)
        return restored

    def _put_back(self, record: ImageRecord, data: bytes) -> ImageRecord:
        name = record.object_key.rpartition("/")[2]
        for key in numbered(record.folder, name):
            try:
                self._store.put(key, data, content_type=content_type_of(key), if_none_match=True)
            except PreconditionFailed:
                if not self._has(key, data):
                    continue
            info = self._store.head(key)
            return replace(
                record, image_id=image_id_of(key), object_key=key, etag=info.etag, modified_at=info.modified_at
            )
        raise AssertionError("numbered never ends")

    def _has(self, key: str, data: bytes) -> bool:
        """Whether an earlier try to undo has put the object back already."""
        try:
            return self._store.get(key, max_bytes=len(data)).data == data
        except (ObjectNotFound, ObjectTooLarge):
            return False

    async def _tidy(self) -> None:
        while True:
            try:
                if old := await self._workers.run(self._trash.forget_old):
                    log.info("%d deletions in the trash were older than DELETE_KEEP_DAYS and are gone for good.", old)
            except AppError as error:
                log.warning("The trash could not be looked through: %s", error)
            await asyncio.sleep(TIDY_EVERY_S)


def best(rows: Ids, vector: Vectors, selection: Selection, view: View) -> Ids:
    """Those of `rows` that fit the query best, the best first, as `limit` and `min_score` say."""
    scores = np.concatenate(
        [view.vectors_of(rows[start : start + PART].tolist()) @ vector for start in range(0, len(rows), PART)]
        or [np.empty(0, np.float32)]
    )
    order = np.argsort(-scores, kind="stable")
    if selection.min_score is not None:
        order = order[scores[order] >= selection.min_score]
    chosen: Ids = rows[order[: selection.limit]]
    return chosen


def _parts(rows: Ids) -> Iterator[list[int]]:
    return (rows[start : start + PART].tolist() for start in range(0, len(rows), PART))


def _removal_of(records: Sequence[ImageRecord]) -> Edit[int]:
    """Removes the rows. Its result is how many of them there still were."""
    ids = frozenset(record.image_id for record in records)

    def plan(current: View | None) -> tuple[Changes, int]:
        present = frozenset(image_id for image_id in ids if current is not None and image_id in current)
        return Changes(removed=present), len(present)

    return Edit(ids, plan)


def _return_of(part: Changes, restored: Mapping[str, ImageRecord]) -> Edit[list[ImageRecord]]:
    """Adds the rows of a deletion's part again, as they are in `restored` by their old keys."""
    places = [place for place, record in enumerate(part.added) if record.object_key in restored]
    records = [restored[part.added[place].object_key] for place in places]
    vectors = part.vectors[places]
    ids = frozenset(record.image_id for record in records)

    def plan(current: View | None) -> tuple[Changes, list[ImageRecord]]:
        missing = [place for place, record in enumerate(records) if current is None or record.image_id not in current]
        added = tuple(records[place] for place in missing)
        return Changes(added=added, vectors=vectors[missing], copied=True), records

    return Edit(ids, plan)
