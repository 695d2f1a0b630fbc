"""Files and folders of a local store: how they are found and opened, and how a write reaches the disk.

A path is walked part by part: each folder is opened inside the one before, and never through a symbolic link. So a
folder that another user swaps for a link at any moment can't lead out of the store (openat(2), O_NOFOLLOW).
"""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from app.errors import InvalidInput
from app.storage.base import CHUNK_BYTES, ObjectInfo, check_key

TEMP_PREFIX = ".image2search-tmp-"

STALE_TEMP_S = 86_400
"""A temporary file older than this was left by a writer that died, if no writer holds it."""

ATTEMPTS = 100
"""Tries to make a folder that other processes remove whenever it is empty."""

NO_RIGHTS = {errno.EACCES, errno.EPERM}

FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
THROUGH = getattr(os, "O_PATH", os.O_RDONLY)
"""Enough to reach what is in a folder. On Linux it needs no right to list the folder."""


class LinkedFolder(OSError):
    """A folder below the root is a symbolic link."""


def is_local_key(key: str) -> bool:
    """Whether `key` can be an object in a folder: a legal key of which no part begins with a dot."""
    try:
        check_key(key)
    except InvalidInput:
        return False
    return "/." not in f"/{key}"


def info_of(key: str, status: os.stat_result, etag: str) -> ObjectInfo:
    """The listing entry of a file."""
    return ObjectInfo(key, etag, status.st_size, status.st_mtime)


@contextmanager
def opened_folder(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder `parts` below `root`, for what is in it. The root itself may be a link.

    `create` makes missing folders, but never the root. Raises LinkedFolder, OSError.
    """
    top = os.open(root, THROUGH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle = _descend(top, parts, create=create)
    finally:
        os.close(top)
    try:
        yield handle
    finally:
        os.close(handle)


def open_subfolder(name: str, at: int) -> int:
    """A descriptor that can be listed, of a folder in the folder `at`. The caller closes it. Raises OSError."""
    return os.open(name, os.O_RDONLY | FOLDER, dir_fd=at)


def _descend(top: int, parts: Sequence[str], *, create: bool) -> int:
    """The folder `parts` below the folder `top`.

    A `delete` may remove any of the folders while the next one is made in it: then this starts again from the top.
    """
    for _ in range(ATTEMPTS if create else 1):
        handle = os.dup(top)
        try:
            for part in parts:
                inner = _step(handle, part, create=create)
                os.close(handle)
                handle = inner
        except FileNotFoundError as error:
            os.close(handle)
            missing = error
        except BaseException:
            os.close(handle)
            raise
        else:
            return handle
    raise missing


def _step(at: int, name: str, *, create: bool) -> int:
    """The folder `name` in the folder `at`. Raises FileNotFoundError also where it, or `at`, was removed meanwhile."""
    try:
        return _open_folder(name, at)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=at)
        sync_folder(at)
    return _open_folder(name, at)


def _open_folder(name: str, at: int) -> int:
    try:
        return os.open(name, THROUGH | FOLDER, dir_fd=at)
    except NotADirectoryError as error:
        if is_link(name, at):
            raise LinkedFolder(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise


def is_link(name: str, at: int) -> bool:
    """Whether there is a symbolic link of this name in the folder `at`."""
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def open_file(name: str, at: int) -> BinaryIO:
    """Open a regular file in the folder `at` for reading; a named pipe does not block.

    Raises FileNotFoundError for anything else.
    """
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", name)
    return os.fdopen(handle, "rb")


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
def temporary_file(root: Path, parts: Sequence[str]) -> Iterator[tuple[int, str, BinaryIO]]:
    """A new file in the folder `parts` below `root`, which is made if needed: the folder's descriptor, name and file.

    The file is locked while it is written, and removed at the end unless it was renamed. A `delete` may remove the
    empty folder before the file is in it: then this tries again. Raises LinkedFolder, OSError.
    """
    name = f"{TEMP_PREFIX}{secrets.token_hex(8)}"
    for _ in range(ATTEMPTS):
        with opened_folder(root, parts, create=True) as at:
            try:
                handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=at)
            except FileNotFoundError:
                continue
            try:
                with os.fdopen(handle, "wb") as file:
                    with suppress(OSError):  # some network file systems have no locks
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield at, name, file
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=at)
            return
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(parts))


def remove_if_stale(name: str, at: int) -> None:
    """Remove a temporary file that a dead writer left: it is old, and no process holds its lock.

    The age alone would not do: the clock of this machine may be ahead of the writer's.
    """
    with suppress(OSError):
        if os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime < time.time() - STALE_TEMP_S:
            with open_file(name, at) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=at)


def sync_folder(at: int) -> None:
    """Write a folder's list of names to the disk. Only then does a rename in it survive a power cut."""
    handle = open_subfolder(".", at)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
