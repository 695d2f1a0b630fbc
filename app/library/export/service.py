"""Vectors and records of many pictures as one file, written while it is sent: memory does not grow with the library.

`.npz` needs nothing but NumPy to read. Parquet has all fields as typed columns and needs the extra `export`.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from importlib.util import find_spec
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from app.catalog.filters import Filters
from app.catalog.metadata import record_fields
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import NotInstalled, VectorStoreUnavailable
from app.http.openapi import utc
from app.storage.base import ObjectStore
from app.types import Ids, ImageRecord, Source, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES: Final = 4 << 20
"""Of vectors that are in memory together."""

MOST_ROWS: Final = 4096
"""In a block; their records are in memory too."""

Uri = Callable[[str], str]
"""The store's name of the object under a key."""


class FileKind(StrEnum):
    """What an export is written as."""

    NPZ = "npz"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return {FileKind.NPZ: "application/zip", FileKind.PARQUET: "application/vnd.apache.parquet"}[self]


class Exporter:
    """Hands out vectors, one or many."""

    def __init__(self, store: ObjectStore, workers: Workers) -> None:
        self._store = store
        self._workers = workers

    async def vector(self, view: View, image_id: str) -> Vectors:
        """(D,) float32, unit length. Raises ImageNotFound, VectorStoreUnavailable."""
        return await self._workers.run(_vector, view, image_id)

    async def vectors(self, view: View, rows: Sequence[int]) -> Vectors:
        """(N, D) float32, unit rows, of rows of the view. Raises VectorStoreUnavailable."""
        return await self._workers.run(view.vectors_of, rows)

    async def stream(self, view: View, filters: Filters, kind: FileKind) -> AsyncIterator[bytes]:
        """The file in chunks. The first vectors are read at once, so that errors are raised here.

        Raises NotInstalled, VectorStoreUnavailable, IndexCorrupt, Overloaded.
        """
        if kind is FileKind.PARQUET:
            check_parquet()
        chunks = write(view, filters, kind, self._store.uri)
        first = await self._workers.run(next, chunks)
        return self._all(first, chunks)

    async def _all(self, first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        yield first
        async for chunk in self._workers.iterate(chunks):
            yield chunk


def check_parquet() -> None:
    """Raises NotInstalled where Parquet can't be written."""
    if find_spec("pyarrow") is None:
        raise NotInstalled(
            "Parquet needs the package pyarrow, which is not installed with this service. Install it with `pip install "
            "'image2search[export]'`, or ask for an .npz file: /api/v1/export?as=npz."
        )


def write(view: View, filters: Filters, kind: FileKind, uri: Uri) -> Iterator[bytes]:
    """The file in chunks, sorted by object key. Pictures whose vector the vector server has lost are left out."""
    places = filters.places(view.columns)
    source = _Source(view, places[view.has_vector(view.columns.rows[places])], uri)
    yield from write_parquet(source) if kind is FileKind.PARQUET else write_npz(source)


def _vector(view: View, image_id: str) -> Vectors:
    try:
        return view.vector(image_id)
    except KeyError as error:
        raise VectorStoreUnavailable(
            f"The vector server has lost the vector of {image_id}. Run `image2search index`, which makes it again."
        ) from error


@dataclass(frozen=True)
class _Source:
    """What is exported."""

    view: View
    places: Ids
    """In the view's columns."""
    uri: Uri

    def __len__(self) -> int:
        return len(self.places)

    @property
    def dimension(self) -> int:
        return self.view.indexed_by.dimension

    def blocks(self) -> Iterator[Ids]:
        """Places of pictures whose vectors and records are in memory together."""
        step = max(1, min(MOST_ROWS, BLOCK_BYTES // (4 * self.dimension)))
        return (self.places[first : first + step] for first in range(0, len(self), step))

    def rows(self) -> Iterator[list[int]]:
        """The row ids of each block."""
        return (self.view.columns.rows[block].tolist() for block in self.blocks())

    def records(self) -> Iterator[list[ImageRecord]]:
        """The records of each block."""
        return map(self.view.records_of, self.rows())

    def about(self) -> dict[str, str]:
        """Which index it is, and what made its vectors."""
        model = self.view.indexed_by
        return {
            "generation": self.view.generation,
            "model": model.name,
            "fingerprint": model.fingerprint,
            "dimension": str(model.dimension),
        }


class _Sink(io.RawIOBase):
    """A file that is only written to; what was written is taken out of it again and again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._position += len(self._written[-1])
        return len(self._written[-1])

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def write_npz(source: _Source) -> Iterator[bytes]:
    """For `np.load`: arrays of equal length, and `records.jsonl` with every record as JSON, one a line.

    `vectors` (N, D) float32 unit rows, `image_ids`, `object_keys`, `sizes_bytes`, `widths`, `heights`, and
    `modified_at`, `taken_at`, `added_at` in seconds since the epoch, NaN where unknown. `about.json` names generation
    and model.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", compresslevel=1) as archive:
        for name, chunks in _members(source):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_STORED if name == "vectors.npy" else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                for chunk in chunks:
                    member.write(chunk)
                    if taken := sink.take():
                        yield taken
    yield sink.take()


def _members(source: _Source) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and content of each file in the archive."""
    count, columns = len(source), source.view.columns
    keys = f"<U{columns.key_lengths[source.places].max(initial=1)}"
    yield "vectors.npy", _npy((count, source.dimension), "<f4", map(source.view.vectors_of, source.rows()))
    yield "about.json", iter([orjson.dumps(source.about())])
    yield "image_ids.npy", _npy((count,), "<U16", map(_image_ids, source.rows()))
    for name in ("sizes_bytes", "widths", "heights", "modified_at", "taken_at", "added_at"):
        column: NDArray[Any] = getattr(columns, name)
        yield f"{name}.npy", _npy((count,), column.dtype.str, (column[block] for block in source.blocks()))
    blocks = (np.array([record.object_key for record in block], keys) for block in source.records())
    yield "object_keys.npy", _npy((count,), keys, blocks)
    yield "records.jsonl", (_json_lines(block, source.uri) for block in source.records())


def _image_ids(rows: list[int]) -> NDArray[np.str_]:
    digits = np.array(rows, ">i8").tobytes().hex()
    return np.array([digits[first : first + 16] for first in range(0, len(digits), 16)], "<U16")


def _npy(shape: tuple[int, ...], dtype: str, blocks: Iterator[NDArray[Any]]) -> Iterator[bytes]:
    """An array file (NumPy's NEP 1) of this shape, whose rows come in blocks."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"shape": shape, "fortran_order": False, "descr": dtype})
    yield head.getvalue()
    for block in blocks:
        yield np.ascontiguousarray(block, dtype).tobytes()


def _json_lines(records: list[ImageRecord], uri: Uri) -> bytes:
    lines = [orjson.dumps(record_fields(record) | {"s3_path": uri(record.object_key)}) for record in records]
    return b"\n".join([*lines, b""])


def write_parquet(source: _Source) -> Iterator[bytes]:
    """One row a picture, all its fields in typed columns, and its vector in `embedding`.

    The schema's metadata names generation and model.
    """
    import pyarrow.parquet as pq  # of the extra `export`

    schema = _schema(source)
    sink = _Sink()
    dictionaries = [name for name in schema.names if name != "embedding"]
    with pq.ParquetWriter(sink, schema, use_dictionary=dictionaries) as writer:
        for block in source.blocks():
            writer.write_batch(_batch(source, block, schema))
            yield sink.take()
    yield sink.take()


def _schema(source: _Source) -> "pa.Schema":
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    kinds = {
        "image_id": pa.string(),
        "object_key": pa.string(),
        "folder": pa.string(),
        "s3_path": pa.string(),
        "caption": pa.string(),
        "caption_by": pa.string(),
        "tags": pa.list_(pa.string()),
        "format": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "size_bytes": pa.int64(),
        "modified_at": time,
        "taken_at": time,
        "added_at": time,
        "camera": pa.string(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "source": pa.struct([(each.name, pa.string()) for each in fields(Source)]),
        "etag": pa.string(),
        "content_hash": pa.string(),
        "perceptual_hash": pa.string(),
        "embedding": pa.list_(pa.float32(), source.dimension),
    }
    return pa.schema(list(kinds.items()), metadata=source.about())


def _batch(source: _Source, block: Ids, schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    columns, rows = source.view.columns, source.view.columns.rows[block].tolist()
    records = source.view.records_of(rows)
    arrays = {
        name: pa.array([value(record) for record in records], schema.field(name).type)
        for name, value in _VALUES.items()
    }
    for name in ("modified_at", "taken_at", "added_at"):
        seconds: NDArray[np.float64] = getattr(columns, name)[block]
        microseconds = np.nan_to_num(np.clip(seconds, *_CALENDAR) * 1e6).astype(np.int64)
        arrays[name] = pa.array(microseconds, pa.int64(), mask=np.isnan(seconds)).cast(schema.field(name).type)
    arrays["s3_path"] = pa.array([source.uri(record.object_key) for record in records])
    vectors = source.view.vectors_of(rows)
    arrays["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), source.dimension)
    return pa.record_batch([arrays[name] for name in schema.names], schema=schema)


_CALENDAR: Final = (utc(-np.inf).timestamp(), utc(np.inf).timestamp())
"""Dates outside of it have no name; they are written as the first and the last one that has."""

_VALUES: Final[Mapping[str, Callable[[ImageRecord], Any]]] = {
    **{name: attrgetter(name) for name in ("image_id", "object_key", "folder", "caption", "caption_by", "tags")},
    **{name: attrgetter(name) for name in ("format", "width", "height", "size_bytes", "camera", "etag")},
    **{name: attrgetter(name) for name in ("content_hash", "perceptual_hash")},
    "latitude": lambda record: record.location and record.location[0],
    "longitude": lambda record: record.location and record.location[1],
    "source": lambda record: record.source and asdict(record.source),
}
"""How a field of a row is had from the record."""
