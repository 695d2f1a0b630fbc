"""The indexed pictures of one state, by row id: the metadata file, and on top of it the changes of the journals.

A changed copy shares the file, so it costs memory for the changes only, not for all pictures.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.catalog.columns import Columns, columns_of
from app.catalog.metadata import Codes, RecordFile, record_fields, write_metadata
from app.types import Ids, ImageRecord, Skip, row_id
from app.words.analysis import Document

_INT64 = range(-(1 << 63), 1 << 63)


class Records(Mapping[int, ImageRecord]):
    """Immutable. Looking up one record parses one line; iterating over records parses all lines.

    Methods that return records raise IndexCorrupt for one that lacks a field.
    """

    def __init__(
        self,
        base: RecordFile | None = None,
        overlay: Mapping[int, ImageRecord] | None = None,
        gone: frozenset[int] = frozenset(),
    ) -> None:
        """`gone` are rows of `base` that were removed, or that `overlay` replaces."""
        self.base = RecordFile() if base is None else base
        self._overlay = overlay or {}
        self._gone = gone

    def changed(self, added: Mapping[int, ImageRecord], gone: set[int]) -> "Records":
        """The records after removing `gone`, then adding or replacing `added`."""
        overlay = {row: record for row, record in self._overlay.items() if row not in gone} | dict(added)
        touched = np.fromiter(gone | added.keys(), np.int64)
        _, found = self.base.locate(touched)
        return Records(self.base, overlay, self._gone | frozenset(touched[found].tolist()))

    def __len__(self) -> int:
        return len(self.base) - len(self._gone) + len(self._overlay)

    def __getitem__(self, row: int) -> ImageRecord:
        found = self._overlay.get(row)
        if found is not None:
            return found
        position = self._position(row)
        if position is None:
            raise KeyError(row)
        return self.base.record(position)

    def take(self, rows: Sequence[int]) -> list[ImageRecord]:
        """The records of some rows, in that order. Raises KeyError."""
        positions, found = self.base.locate(np.array(rows, np.int64))
        for row, in_base in zip(rows, found.tolist(), strict=True):
            if row not in self._overlay and (row in self._gone or not in_base):
                raise KeyError(row)
        of_base = [number for number, row in enumerate(rows) if row not in self._overlay]
        records = iter(self.base.take(positions[of_base]))
        return [self._overlay[row] if row in self._overlay else next(records) for row in rows]

    def __contains__(self, row: object) -> bool:
        return row in self._overlay or (isinstance(row, int) and self._position(row) is not None)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids().tolist())

    def values(self) -> ValuesView[ImageRecord]:
        return _Values(self)

    def items(self) -> ItemsView[int, ImageRecord]:
        return _Items(self)

    def ids(self) -> Ids:
        """(N,) row ids, in the order of iteration."""
        added = np.fromiter(self._overlay, np.int64, len(self._overlay))
        return np.concatenate([self.base.ids[self._alive()], added])

    def ids_in(self, shows: Callable[[str], bool]) -> Ids:
        """The row ids of the pictures whose folder is shown. Parses no record."""
        shown = np.array([shows(folder) for folder in self.base.folders], bool)
        added = [row for row, record in self._overlay.items() if shows(record.folder)]
        in_base = self._alive() & shown[self.base.codes] if len(self.base) else self._alive()
        return np.concatenate([self.base.ids[in_base], np.array(added, np.int64)])

    def folder_counts(self) -> dict[str, int]:
        """Pictures directly in each folder, by folder path."""
        positions, _ = self.base.locate(np.fromiter(self._gone, np.int64, len(self._gone)))
        left = self.base.folder_counts - np.bincount(self.base.codes[positions], minlength=len(self.base.folders))
        counts = dict(zip(self.base.folders, left.tolist(), strict=True))
        for record in self._overlay.values():
            counts[record.folder] = counts.get(record.folder, 0) + 1
        return {folder: count for folder, count in counts.items() if count}

    @cached_property
    def columns(self) -> Columns:
        """As `RecordFile.columns`, with the changes; the places are the order of iteration."""
        if not self._overlay and not self._gone:
            return self.base.columns
        added = columns_of([list(map(record_fields, self._overlay.values()))])
        keys = [record.object_key for record in self._overlay.values()]
        smaller = np.array([self.base.place_of(keys[place]) for place in added.order.tolist()], np.int64)
        alive = self._alive()
        left_before = np.concatenate([[0], np.cumsum(alive[self.base.columns.order])])
        return self.base.columns.where(alive).joined(added, left_before[smaller])

    def find_content(self, content_hash: str, folder: str) -> ImageRecord | None:
        """A picture with exactly this content directly in this folder: the first by object key.

        O(log N) for the file and O(M) for the changes, after the first call.
        """
        columns = self.base.columns
        places = columns.places_with_content(content_hash)
        in_folder = np.array([columns.folders[code] == folder for code in columns.folder_codes[places].tolist()], bool)
        in_file = [each for each in self.base.take(places[in_folder]) if row_id(each.image_id) not in self._gone]
        added = [each for each in self._overlay.values() if each.folder == folder]
        same = [each for each in (*in_file, *added) if each.content_hash == content_hash]
        return min(same, key=lambda each: each.object_key, default=None)

    def save(self, path: Path, ids: Ids, skipped: Mapping[str, Skip]) -> None:
        """Write a metadata file with these records, in the order of `ids`. Raises OSError."""
        write_metadata(path, ids, self._lines(ids), self._folder_columns(ids), skipped)

    def documents(self, ids: Ids) -> Iterator[Document]:
        """The words of these pictures, in the order of `ids`. Raises KeyError for an id without a record."""
        return map(_document, map(orjson.loads, self._lines(ids)))

    def _lines(self, ids: Ids) -> Iterator[bytes]:
        """Each record as JSON, in the order of `ids`. Raises KeyError for an id without a record."""
        positions, found = self.base.locate(ids)
        for row, position, in_base in zip(ids.tolist(), positions.tolist(), found.tolist(), strict=True):
            if row in self._overlay:
                yield orjson.dumps(record_fields(self._overlay[row]))
            elif in_base and row not in self._gone:
                yield self.base.lines(position, position + 1)
            else:
                raise KeyError(row)

    def _folder_columns(self, ids: Ids) -> tuple[Sequence[str], Codes]:
        """The distinct folders of these records, and for each record the index of its folder among them."""
        known = {folder: code for code, folder in enumerate(self.base.folders)}
        positions, found = self.base.locate(ids)
        codes = np.zeros(len(ids), np.int32)
        codes[found] = self.base.codes[positions[found]]
        for place in np.flatnonzero(~found).tolist():
            folder = self._overlay[int(ids[place])].folder
            codes[place] = known.setdefault(folder, len(known))
        used, compact = np.unique(codes, return_inverse=True)
        folders = list(known)
        return [folders[code] for code in used.tolist()], compact.astype(np.int32)

    def _position(self, row: int) -> int | None:
        if row in self._gone or row not in _INT64:
            return None
        positions, found = self.base.locate(np.array([row], np.int64))
        return int(positions[0]) if found[0] else None

    def _alive(self) -> NDArray[np.bool_]:
        """(N,) whether each record of the base is still listed."""
        alive = np.ones(len(self.base), bool)
        positions, _ = self.base.locate(np.fromiter(self._gone, np.int64, len(self._gone)))
        alive[positions] = False
        return alive

    def _all_records(self) -> Iterator[ImageRecord]:
        in_base = (record for record, alive in zip(self.base.records(), self._alive(), strict=True) if alive)
        return chain(in_base, self._overlay.values())


def _document(item: dict[str, Any]) -> Document:
    """Of fields in a file, which another version may have written: fields of another kind say nothing."""
    key, caption, tags = item.get("object_key"), item.get("caption"), item.get("tags") or ()
    return Document(
        key if isinstance(key, str) else "",
        caption if isinstance(caption, str) else None,
        tuple(tag for tag in tags if isinstance(tag, str)),
    )


class _Values(ValuesView[ImageRecord]):
    _mapping: Records

    def __iter__(self) -> Iterator[ImageRecord]:
        return self._mapping._all_records()


class _Items(ItemsView[int, ImageRecord]):
    _mapping: Records

    def __iter__(self) -> Iterator[tuple[int, ImageRecord]]:
        return zip(self._mapping, self._mapping._all_records(), strict=True)
