"""Deleted pictures that can be brought back: `_trash/<deletion>/` beside the pictures, for some days.

A deletion is named by its time and a random token. It keeps each picture's file, and the rows of the index with their
vectors in files of the journal's format: so bringing them back needs no model.
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast

import orjson

from app.catalog.changes import Changes, journal_from_json, journal_to_json
from app.catalog.layout import TRASH_PREFIX
from app.catalog.pointer import new_token
from app.errors import DeletionNotFound, ObjectNotFound
from app.storage.base import KEYS_ONLY, ObjectStore, content_type_of
from app.types import ImageRecord, from_fields

IN_MEMORY_BYTES: Final = 4 << 20
"""Of a file that is copied; larger ones pass through the disk."""

_DELETION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")

_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Note:
    """What is said of a deletion, in `_trash/<deletion>/deletion.json`."""

    id: str
    count: int
    """Pictures that were deleted so far."""
    total: int
    """Pictures that were to be deleted."""
    fingerprint: str
    """Of the model that made the vectors."""


def new_deletion_id() -> str:
    return f"{datetime.now(UTC).strftime(_TIME)}-{new_token()[:12]}"


def deleted_at(deletion_id: str) -> float:
    """Seconds since the epoch, UTC."""
    return datetime.strptime(deletion_id.partition("-")[0], _TIME).replace(tzinfo=UTC).timestamp()


class Trash:
    """Keeps, finds and forgets deleted pictures. Every method raises StorageUnavailable."""

    def __init__(self, store: ObjectStore, keep_days: float) -> None:
        """`store` has the pictures."""
        self._store = store
        self._keep_s = timedelta(days=keep_days).total_seconds()

    def keep_file(self, deletion_id: str, record: ImageRecord) -> None:
        """Copy the picture's object into the trash, if there still is one. Raises ObjectArchived."""
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as copy:
            try:
                copy.writelines(self._store.stream(record.object_key))
            except ObjectNotFound:
                return
            copy.seek(0)
            body = cast(BinaryIO, copy)
            self._store.put(_file_key(deletion_id, record), body, content_type=content_type_of(record.object_key))

    def keep_rows(self, deletion_id: str, number: int, rows: Changes) -> None:
        """Keep records with their vectors, as the part `number` of the deletion."""
        body = journal_to_json(rows, with_vectors=True)
        self._store.put(_rows_key(deletion_id, number), body, content_type="application/json")

    def keep_note(self, note: Note) -> None:
        body = orjson.dumps(asdict(note))
        self._store.put(_note_key(note.id), body, content_type="application/json")

    def note(self, deletion_id: str) -> Note:
        """Raises DeletionNotFound when it never was, was brought back, or is too old."""
        if _DELETION.fullmatch(deletion_id) and not self._is_old(deletion_id):
            try:
                return from_fields(Note, orjson.loads(self._store.get(_note_key(deletion_id)).data))
            except ObjectNotFound:
                pass
            except (ValueError, TypeError) as error:
                raise DeletionNotFound(f"The deletion {deletion_id} can't be read any more.") from error
        raise DeletionNotFound(
            f"There is no deletion {deletion_id!r} in the trash: it was brought back already, it was permanent, or it "
            f"is older than DELETE_KEEP_DAYS."
        )

    def rows(self, deletion_id: str) -> Iterator[Changes]:
        """The parts of the deletion, each with its vectors. Raises IndexCorrupt for one that can't be read."""
        for key in self._keys(deletion_id):
            if key.rpartition("/")[2].startswith("rows-"):
                yield journal_from_json(self._store.get(key).data, key)

    def file(self, deletion_id: str, record: ImageRecord) -> bytes | None:
        """The picture's bytes; None where its object was gone already."""
        try:
            return self._store.get(_file_key(deletion_id, record)).data
        except ObjectNotFound:
            return None

    def forget(self, deletion_id: str) -> None:
        """Delete what was kept; the note goes last."""
        keys = [key for key in self._keys(deletion_id) if key != _note_key(deletion_id)]
        for key in (*keys, _note_key(deletion_id)):
            self._store.delete(key)

    def forget_old(self) -> int:
        """Delete what is older than it is to be kept. Returns how many deletions these were."""
        deletions = {key.removeprefix(TRASH_PREFIX).partition("/")[0] for key in self._keys()}
        old = [name for name in sorted(deletions) if _DELETION.fullmatch(name) and self._is_old(name)]
        for name in old:
            self.forget(name)
        return len(old)

    def _keys(self, deletion_id: str = "") -> Iterable[str]:
        prefix = f"{TRASH_PREFIX}{deletion_id}/" if deletion_id else TRASH_PREFIX
        return [info.key for info in self._store.list(prefix, selection=KEYS_ONLY)]

    def _is_old(self, deletion_id: str) -> bool:
        return time.time() - deleted_at(deletion_id) > self._keep_s


def _file_key(deletion_id: str, record: ImageRecord) -> str:
    return f"{TRASH_PREFIX}{deletion_id}/files/{record.image_id}"


def _rows_key(deletion_id: str, number: int) -> str:
    return f"{TRASH_PREFIX}{deletion_id}/rows-{number:06d}.json"


def _note_key(deletion_id: str) -> str:
    return f"{TRASH_PREFIX}{deletion_id}/deletion.json"
