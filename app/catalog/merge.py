"""How the changes of two writers come together: one policy for ordinary publications and for rebuilds.

Changes are planned from one state (`since`) and published on a later one (`current`). What other writers changed in
between stays as they left it, with two exceptions: our record replaces theirs when it is of a newer object, by the
object's time of modification, or when they changed nothing but what people say of the picture. It then takes over
their words (`with_words_of`). A picture that they removed stays removed. So an older row never replaces a newer one,
every writer keeps the rows that only it changed, and no word of a person is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from app.catalog.changes import Changes
from app.catalog.pointer import FileEntry, Pointer
from app.catalog.snapshot import Snapshot, drift_of
from app.types import PERSON, ImageRecord, Skip, image_id_of, row_id


@dataclass(frozen=True)
class Rebased:
    """Changes that were planned from an older state, after comparing them with the changes of other writers."""

    changes: Changes
    """The part that still applies."""
    given_up: Changes
    """The rows to add that do not apply: another writer removed them, or published a version that stays."""


def with_words_of(record: ImageRecord, earlier: ImageRecord) -> ImageRecord:
    """`record`, made of a file, with what people said of the picture before: tags, source, and their own caption.

    Also with the time when the picture was added. A person's caption that is gone from `earlier` stays gone.
    """
    kept = replace(record, tags=earlier.tags, source=earlier.source, added_at=earlier.added_at)
    if PERSON in (record.caption_by, earlier.caption_by):
        return replace(kept, caption=earlier.caption, caption_by=earlier.caption_by)
    return kept


def rebase(changes: Changes, since: Snapshot | None, current: Snapshot | None) -> Rebased:
    """Find which of `changes`, planned from `since`, still apply on top of `current`."""
    if current is None or _is_same(since, current):
        return Rebased(changes, Changes())
    others = _Others(since, current)
    merged = [others.merged(record) for record in changes.added]
    is_ours = [record is not None for record in merged]
    left = replace(
        _select(changes, is_ours),
        added=tuple(record for record in merged if record is not None),
        removed=frozenset(image_id for image_id in changes.removed if not others.changed_row(row_id(image_id))),
        skipped=tuple(
            skip
            for skip in changes.skipped
            if not others.changed_row(_row_of(skip.object_key)) and not others.changed_skip(skip.object_key)
        ),
        forgotten=frozenset(key for key in changes.forgotten if not others.changed_skip(key)),
    )
    given_up = _select(changes, [not ours for ours in is_ours])
    return Rebased(left, replace(given_up, removed=frozenset(), skipped=(), forgotten=frozenset()))


def rebase_rebuild(changes: Changes, since: Snapshot | None, current: Snapshot | None) -> Changes:
    """The changes of a rebuild, which replace the whole index, together with the changes of others after `since`.

    `current` must be of the same model as `changes`. Rows of others are added with their vectors. A row whose vector
    the server has lost is left out; the next index run reads its picture again.
    Raises StorageUnavailable, VectorStoreUnavailable.
    """
    if current is None or _is_same(since, current):
        return changes
    others = _Others(since, current)
    left = rebase(replace(changes, removed=frozenset(), forgotten=frozenset()), since, current).changes
    ours = set(left.ids.tolist())
    theirs = [
        (row, record) for row, record in current.records.items() if row not in ours and others.changed_row(row, record)
    ]
    if theirs:
        missing = drift_of(current).missing
        theirs = [(row, record) for row, record in theirs if row not in missing]
    own_keys = {record.object_key for record in left.added} | {skip.object_key for skip in left.skipped}
    skips = [skip for key, skip in current.skipped.items() if key not in own_keys and others.changed_skip(key)]
    vectors = left.vectors.reshape(-1, current.pointer.model.dimension)
    if theirs:
        vectors = np.concatenate([vectors, current.vectors.get([row for row, _ in theirs])])
    return replace(
        left,
        added=(*left.added, *(record for _, record in theirs)),
        vectors=vectors,
        skipped=(*left.skipped, *skips),
        copied=left.copied or bool(theirs),
    )


def rebase_to_other_model(changes: Changes, since: Snapshot | None, current: Snapshot | None) -> Changes:
    """The changes of a rebuild that replaces the index of another model, which is `current`.

    Vectors of others do not fit. Their words do, and what they removed after `since` stays removed.
    """
    if current is None or _is_same(since, current):
        return changes
    others = _Others(since, current)
    merged = [others.merged_words(record) for record in changes.added]
    left = _select(changes, [record is not None for record in merged])
    return replace(left, added=tuple(record for record in merged if record is not None))


def appended_between(earlier: Pointer, later: Pointer) -> tuple[FileEntry, ...] | None:
    """The journals that lead from `earlier` to `later`; None where other files lead there."""
    have = len(earlier.journals)
    goes_on = earlier.files == later.files and earlier.journals == later.journals[:have]
    return later.journals[have:] if goes_on else None


class _Others:
    """What other writers changed between two states."""

    def __init__(self, since: Snapshot | None, current: Snapshot) -> None:
        # If another model made `since`, every row of `current` was made later, also one with the same record.
        is_comparable = since is not None and since.pointer.model.fingerprint == current.pointer.model.fingerprint
        self._before: Mapping[int, ImageRecord] = since.records if since and is_comparable else {}
        self._skipped_before: Mapping[str, Skip] = since.skipped if since and is_comparable else {}
        self._current = current

    def changed_row(self, row: int, record: ImageRecord | None = None) -> bool:
        """Whether others changed the row; `record` is its current record, if the caller has it already."""
        return (record or self._current.records.get(row)) != self._before.get(row)

    def changed_skip(self, key: str) -> bool:
        return self._current.skipped.get(key) != self._skipped_before.get(key)

    def merged(self, ours: ImageRecord) -> ImageRecord | None:
        """What to publish in place of our record; None where theirs stays."""
        row = row_id(ours.image_id)
        theirs, before = self._current.records.get(row), self._before.get(row)
        if theirs == before:
            return ours
        if theirs is None:
            return None
        if ours.modified_at > theirs.modified_at or (before is not None and _apart(ours, before, theirs)):
            return with_words_of(ours, theirs)
        return None

    def merged_words(self, ours: ImageRecord) -> ImageRecord | None:
        """Our record with their words; None where they removed it."""
        row = row_id(ours.image_id)
        theirs, before = self._current.records.get(row), self._before.get(row)
        if theirs is None:
            return ours if before is None else None
        return ours if theirs == before else with_words_of(ours, theirs)


def _apart(ours: ImageRecord, before: ImageRecord, theirs: ImageRecord) -> bool:
    """Whether we changed only what is known of the file, and they only what people say of the picture."""
    return with_words_of(ours, before) == ours and with_words_of(before, theirs) == theirs


def _is_same(since: Snapshot | None, current: Snapshot) -> bool:
    return since is not None and since.pointer.token == current.pointer.token


def _select(changes: Changes, wanted: list[bool]) -> Changes:
    """`changes` with some of the added rows."""
    if all(wanted):
        return changes
    places = np.flatnonzero(wanted)
    return replace(changes, added=tuple(changes.added[place] for place in places), vectors=changes.vectors[places])


def _row_of(key: str) -> int:
    return row_id(image_id_of(key))
