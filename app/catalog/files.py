"""The files of a generation: how they are written, and how a reader makes sure of them.

Metadata and journals are JSON; a journal's vectors are base64 of little-endian float32 rows.
"""

import base64
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.catalog.changes import Changes
from app.catalog.pointer import FileEntry
from app.errors import IndexCorrupt, ObjectNotFound, StorageUnavailable
from app.storage.base import ObjectStore
from app.types import ImageRecord, Skip, row_id

REMEDY = "Restore it, or make a new index with `image2search index --rebuild`."


@dataclass(frozen=True)
class Metadata:
    """What `image_metadata.json` holds: one record for each row of the index, and what could not be read."""

    records: Mapping[int, ImageRecord]
    skipped: Mapping[str, Skip]

    def to_json(self) -> bytes:
        return orjson.dumps({"images": _dicts(self.records.values()), "skipped": _dicts(self.skipped.values())})

    @classmethod
    def from_json(cls, data: bytes) -> "Metadata":
        content = _parse(data)
        records = [ImageRecord(**item) for item in content["images"]]
        skipped = [Skip(**item) for item in content["skipped"]]
        return cls({row_id(r.image_id): r for r in records}, {s.object_key: s for s in skipped})


def journal_to_json(changes: Changes) -> bytes:
    rows = np.ascontiguousarray(changes.vectors, "<f4")
    return orjson.dumps(
        {
            "added": [
                {**asdict(record), "vector": base64.b64encode(row.tobytes()).decode()}
                for record, row in zip(changes.added, rows, strict=True)
            ],
            "removed": sorted(changes.removed),
            "skipped": _dicts(changes.skipped),
            "forgotten": sorted(changes.forgotten),
        }
    )


def journal_from_json(data: bytes) -> Changes:
    content = _parse(data)
    rows = [np.frombuffer(base64.b64decode(item.pop("vector")), "<f4") for item in content["added"]]
    return Changes(
        added=tuple(ImageRecord(**item) for item in content["added"]),
        vectors=np.array(rows, np.float32),
        removed=frozenset(content["removed"]),
        skipped=tuple(Skip(**item) for item in content["skipped"]),
        forgotten=frozenset(content["forgotten"]),
    )


def read_verified(store: ObjectStore, entry: FileEntry) -> bytes:
    """The file's bytes. Raises IndexCorrupt when it is missing or not what the pointer says."""
    try:
        data = store.get(entry.key).data
    except ObjectNotFound as error:
        raise _missing(entry) from error
    _check(entry, len(data), sha256(data).hexdigest())
    return data


@contextmanager
def scratch_file(name: str) -> Iterator[Path]:
    """A path in a temporary folder of its own. Raises StorageUnavailable where there is no room for it."""
    try:
        with tempfile.TemporaryDirectory(prefix="image2search-") as folder:
            yield Path(folder) / name
    except OSError as error:
        raise StorageUnavailable(
            f"Can't keep {name} in the temporary folder {tempfile.gettempdir()}: {error.strerror or error}. "
            f"Free some space there, or set TMPDIR to a larger disk."
        ) from error


def download_verified(store: ObjectStore, entry: FileEntry, path: Path) -> None:
    """Write the file to `path`, in bounded memory. Raises IndexCorrupt as `read_verified` does."""
    digest, size = sha256(), 0
    try:
        with path.open("wb") as file:
            for chunk in store.stream(entry.key):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except ObjectNotFound as error:
        raise _missing(entry) from error
    _check(entry, size, digest.hexdigest())


def upload(store: ObjectStore, key: str, path: Path) -> FileEntry:
    """Put a local file into the bucket."""
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        file.seek(0)
        store.put(key, file)
    return FileEntry(key, path.stat().st_size, digest.hexdigest())


def upload_json(store: ObjectStore, key: str, data: bytes, *, create: bool = False) -> FileEntry:
    """Put a JSON file into the bucket; `create` refuses to replace one. Raises PreconditionFailed."""
    store.put(key, data, content_type="application/json", if_none_match=create)
    return FileEntry.of(key, data)


def _dicts(items: Iterable[ImageRecord | Skip]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]


def _parse(data: bytes) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(data)
    return content


def _check(entry: FileEntry, size_bytes: int, digest: str) -> None:
    if size_bytes != entry.size_bytes:
        raise IndexCorrupt(
            f"{entry.key} has {size_bytes} bytes where the pointer says {entry.size_bytes}: it is torn. {REMEDY}"
        )
    if digest != entry.sha256:
        raise IndexCorrupt(f"{entry.key} has another content than the pointer says (sha256 differs). {REMEDY}")


def _missing(entry: FileEntry) -> IndexCorrupt:
    return IndexCorrupt(f"{entry.key} is missing, though the pointer names it. {REMEDY}")
