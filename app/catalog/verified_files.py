"""The files of a generation in the bucket: writing them, and verifying them when they are read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path

from app import scratch
from app.catalog.metadata import REMEDY
from app.catalog.pointer import FileEntry
from app.errors import IndexCorrupt, InvalidInput, ObjectNotFound, StorageUnavailable
from app.storage.base import ObjectStore

SCRATCH_PREFIX = "image2search-index-"


def read_verified(store: ObjectStore, entry: FileEntry) -> bytes:
    """The file's bytes. Raises IndexCorrupt when it is missing, or differs from what the pointer says."""
    try:
        data = store.get(entry.key).data
    except (ObjectNotFound, InvalidInput) as error:
        raise _missing(entry) from error
    _check(entry, len(data), sha256(data).hexdigest())
    return data


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder. Raises StorageUnavailable when a file can't be written there."""
    try:
        with scratch.scratch_folder(Path(tempfile.gettempdir()), SCRATCH_PREFIX) as folder:
            yield folder
    except OSError as error:
        raise StorageUnavailable(
            f"Can't keep files of the index in the temporary folder {tempfile.gettempdir()}: {error.strerror or error}"
            f". Free some space there, or set TMPDIR to a larger disk."
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
    except (ObjectNotFound, InvalidInput) as error:
        raise _missing(entry) from error
    _check(entry, size, digest.hexdigest())


def upload(store: ObjectStore, key: str, path: Path, *, content_type: str = "application/octet-stream") -> FileEntry:
    """Put a local file into the bucket."""
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
        file.seek(0)
        store.put(key, file, content_type=content_type)
    return FileEntry(key, path.stat().st_size, digest)


def upload_json(store: ObjectStore, key: str, data: bytes, *, create: bool = False) -> FileEntry:
    """Put a JSON file into the bucket; `create` refuses to replace one. Raises PreconditionFailed."""
    store.put(key, data, content_type="application/json", if_none_match=create)
    return FileEntry.of(key, data)


def _check(entry: FileEntry, size_bytes: int, digest: str) -> None:
    if size_bytes != entry.size_bytes:
        raise IndexCorrupt(
            f"{entry.key} has {size_bytes} bytes where the pointer says {entry.size_bytes}: it is torn. {REMEDY}"
        )
    if digest != entry.sha256:
        raise IndexCorrupt(f"{entry.key} has another content than the pointer says (sha256 differs). {REMEDY}")


def _missing(entry: FileEntry) -> IndexCorrupt:
    return IndexCorrupt(f"{entry.key} is missing, though the pointer names it. {REMEDY}")
