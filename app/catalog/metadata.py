"""`image_metadata.json`: one record for each row of the index, and the objects that could not be read.

It is one JSON document for any parser, laid out so that our reader need not parse it whole: a head of columns, one a
line, then one record a line in the order of the index file. The reader maps the file, finds the lines, and parses a
record when it is asked for.
"""

import base64
import mmap
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from app.catalog.columns import Columns, columns_of
from app.errors import IndexCorrupt
from app.types import Ids, ImageRecord, Skip, Source, from_fields
from app.vectors.rows import locate

FORMAT = 2

REMEDY = "Restore it, or make a new index with `image2search index --rebuild`."

Codes: TypeAlias = NDArray[np.int32]
"""(N,) indices into a list of folders."""

_IMAGES = b'"images":[\n'
_HEAD_LINES = 64
"""No head has more lines."""

_READ_BYTES = 8 << 20
_BLOCK = 1024
"""Records parsed, and lines written, together."""


@dataclass(frozen=True, eq=False)
class RecordFile:
    """The records of a metadata file by their position in it, each parsed when it is asked for. Thread-safe.

    Methods that return records raise IndexCorrupt for one that lacks a field.
    """

    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    """(N,) row ids, in the order of the file."""
    folders: Sequence[str] = ()
    """Distinct folder paths."""
    codes: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    """(N,) index into `folders` of the folder that each record lies in."""
    data: "mmap.mmap | bytes" = b""
    starts: Ids = field(default_factory=lambda: np.zeros(1, np.int64))
    """(N + 1,) where each line begins, and where the last one ends."""
    _making: threading.Lock = field(default_factory=threading.Lock)
    """Held while columns are made, so that several threads do not make them at the same time."""
    _places: dict[str, int] = field(default_factory=dict)
    """What `place_of` has found."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _order(self) -> Ids:
        return np.argsort(self.ids, kind="stable")

    @cached_property
    def folder_counts(self) -> Ids:
        """Records directly in each of `folders`."""
        return np.bincount(self.codes, minlength=len(self.folders))

    @property
    def columns(self) -> Columns:
        """The places of the columns are the positions in the file. The first call parses all records.

        Raises IndexCorrupt for a record that lacks a field.
        """
        with self._making:
            return self._columns

    @cached_property
    def _columns(self) -> Columns:
        try:
            return columns_of(self._blocks(), (self.folders, self.codes))
        except KeyError as error:
            raise IndexCorrupt(f"A picture in the index has no {error.args[0]}. {REMEDY}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise IndexCorrupt(f"A picture in the index has a field that can't be read: {error}. {REMEDY}") from error

    def place_of(self, key: str) -> int:
        """How many of the records have a smaller object key."""
        if key not in self._places:
            order = self.columns.order
            self._places[key] = bisect_left(order, key, key=lambda position: self._fields(position)["object_key"])
        return self._places[key]

    def locate(self, ids: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """The position of each id, and whether it is in the file at all."""
        return locate(self.ids, self._order, ids)

    def lines(self, first: int, last: int) -> bytes:
        """The records from `first` up to `last`, exclusive, as JSON objects with commas between them."""
        return self.data[self.starts[first] : self.starts[last]].rstrip(b",\n")

    def record(self, position: int) -> ImageRecord:
        return parse_record(self._fields(position))

    def take(self, positions: Ids) -> list[ImageRecord]:
        """The records at `positions`, in that order."""
        first, last = self.starts[positions].tolist(), self.starts[positions + 1].tolist()
        lines = (self.data[start:end].rstrip(b",\n") for start, end in zip(first, last, strict=True))
        return [parse_record(orjson.loads(line)) for line in lines]

    def records(self) -> Iterator[ImageRecord]:
        """All records, in the order of the file."""
        for block in self._blocks():
            yield from map(parse_record, block)

    def _fields(self, position: int) -> dict[str, Any]:
        item: dict[str, Any] = orjson.loads(self.lines(position, position + 1))
        return item

    def _blocks(self) -> Iterator[list[dict[str, Any]]]:
        """The fields of all records, in the order of the file."""
        for first in range(0, len(self), _BLOCK):
            yield orjson.loads(b"[" + self.lines(first, min(first + _BLOCK, len(self))) + b"]")


def parse_record(item: dict[str, Any]) -> ImageRecord:
    """A record from its fields in a file, which another version may have written.

    Unknown fields are passed over and missing ones get their defaults. Raises IndexCorrupt when one without a default
    is missing.
    """
    if "tags" in item or "location" in item or "source" in item:
        item = _with_parsed_parts(item)
    try:
        return ImageRecord(**item)  # Nearly all records have just our fields, and this is twice as fast.
    except TypeError:
        missing = [each.name for each in fields(ImageRecord) if each.default is MISSING and each.name not in item]
        if missing:
            raise IndexCorrupt(f"A picture in the index has no {', '.join(missing)}. {REMEDY}") from None
        return from_fields(ImageRecord, item)


def _with_parsed_parts(item: dict[str, Any]) -> dict[str, Any]:
    """The fields that JSON has no kind of value for."""
    source, location = item.get("source"), item.get("location")
    return item | {
        "tags": tuple(item.get("tags") or ()),
        "location": tuple(location) if location else None,
        "source": from_fields(Source, source) if source else None,
    }


_FIELDS = [(each.name, each.default) for each in fields(ImageRecord)]


def record_fields(record: ImageRecord) -> dict[str, Any]:
    """What `parse_record` makes the record of again. Fields with their default values are left out."""
    return {name: value for name, default in _FIELDS if (value := getattr(record, name)) != default}


def parse_skip(item: dict[str, Any]) -> Skip:
    """As `parse_record`. Raises TypeError when a field without a default is missing."""
    return from_fields(Skip, item)


def read_metadata(path: Path) -> tuple[RecordFile, dict[str, Skip]]:
    """Map the file, which may be unlinked afterwards. Raises IndexCorrupt, OSError."""
    with path.open("rb") as file:
        head = _read_head(file, path.name)
        starts = _line_starts(file)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        ids = _column(head["ids"], "<i8")
        codes = _column(head["folder_codes"], "<i4")
        skipped = {item["object_key"]: parse_skip(item) for item in head["skipped"]}
        folders = [str(folder) for folder in head["folders"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_metadata(path.name) from error
    if not len(ids) == len(codes) == len(starts) - 1 or (
        len(codes) and not 0 <= codes.min() <= codes.max() < len(folders)
    ):
        raise IndexCorrupt(
            f"{path.name} lists {len(starts) - 1} pictures under {len(ids)} ids in {len(codes)} folder places: it was "
            f"not written whole. {REMEDY}"
        )
    return RecordFile(ids, folders, codes, data, starts), skipped


def write_metadata(
    path: Path, ids: Ids, lines: Iterable[bytes], places: tuple[Sequence[str], Codes], skipped: Mapping[str, Skip]
) -> None:
    """Write `lines`, one record each, in the order of `ids`.

    `places` are the distinct folders, and for each record the index of its folder among them.

    Raises OSError.
    """
    folders, codes = places
    head = {
        "format": FORMAT,
        "folders": list(folders),
        "folder_codes": _encoded(codes, "<i4"),
        "ids": _encoded(ids, "<i8"),
        "skipped": [asdict(skip) for skip in skipped.values()],
    }
    columns = b",\n".join(orjson.dumps(name) + b":" + orjson.dumps(column) for name, column in head.items())
    with path.open("wb") as file:
        file.write(b"{" + columns + b",\n" + _IMAGES)
        separator = b""
        for line in lines:
            file.write(separator + line)
            separator = b",\n"
        file.write((b"\n" if separator else b"") + b"]}\n")


def _read_head(file: BinaryIO, name: str) -> dict[str, Any]:
    """Read the columns, up to where the records begin. Raises IndexCorrupt."""
    lines: list[bytes] = []
    while not lines or lines[-1] != _IMAGES:
        lines.append(file.readline())
        if not lines[-1] or len(lines) > _HEAD_LINES:
            raise _not_metadata(name)
    try:
        head: dict[str, Any] = orjson.loads(b"".join(lines) + b"]}")
        version = head["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _not_metadata(name) from error
    if version != FORMAT:
        raise IndexCorrupt(f"{name} has format {version}, this version reads {FORMAT}. Index again with --rebuild.")
    return head


def _line_starts(file: BinaryIO) -> Ids:
    """Where each record begins, from the file's current position on, and where the last one ends."""
    offset = file.tell()
    found = [np.array([offset], np.int64)]
    while chunk := file.read(_READ_BYTES):
        found.append(np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + (offset + 1))
        offset += len(chunk)
    return np.concatenate(found)[:-1]  # the last line closes the list


def _column(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)


def _encoded(column: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(column, dtype).tobytes()).decode()


def _not_metadata(name: str) -> IndexCorrupt:
    return IndexCorrupt(f"{name} is not a list of pictures that this version can read. {REMEDY}")
