"""Files and folders of a local store: what may be a key, how a file is opened, and how a write reaches the disk."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from app.errors import InvalidInput
from app.storage.base import ObjectInfo, check_key

TEMP_PREFIX = ".image2search-tmp-"
CHUNK_BYTES = 1 << 20

NO_RIGHTS = {errno.EACCES, errno.EPERM}


def is_local_key(key: str) -> bool:
    """Whether `key` can be an object in a folder: a legal key of which no part begins with a dot."""
    try:
        check_key(key)
    except InvalidInput:
        return False
    return not any(part.startswith(".") for part in key.split("/"))


def info_of(key: str, status: os.stat_result, etag: str) -> ObjectInfo:
    """The listing entry of a file."""
    return ObjectInfo(key, etag, status.st_size, status.st_mtime)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises FileNotFoundError for anything else; a named pipe does not block."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", str(path))
    return os.fdopen(handle, "rb")


def exists(path: Path) -> bool:
    """Whether there is anything at `path`; a symbolic link counts even if its target is missing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def copy_to_disk(source: BinaryIO, target: BinaryIO) -> str:
    """Copy, wait until the data is on the disk itself, and return the content's hash."""
    digest = blake2b(digest_size=16)
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in `folder`, which is made if needed. The file is removed at the end unless it was renamed."""
    path = folder / f"{TEMP_PREFIX}{secrets.token_hex(8)}"
    file = _create(path)
    try:
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path) -> BinaryIO:
    """Create the file and its folder. A `delete` may remove the empty folder in between: then this tries again."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            make_folder(path.parent)
            return path.open("xb")
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def make_folder(folder: Path) -> None:
    """Make the folder and its parents, and write each new name to the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Write a folder's list of names to the disk. Only then does a rename in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
