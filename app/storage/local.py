"""Object storage in a local folder (POSIX): one file per object, the key is its relative path.

A write goes to a temporary file beside its target, reaches the disk, and is renamed into place. So a reader, or a
restart after a crash, finds the old content or the new one. Conditional writes hold a lock file (`flock`), which makes
them atomic between processes. The etag is the content's hash. Names that begin with a dot belong to the store or the
system: they are never listed and never accepted as a key. Symbolic links below the root are not followed.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from app.errors import AppError, InvalidInput, InvalidSettings, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectInfo, StoredObject, check_key, check_range
from app.storage.etag_cache import EtagCache
from app.storage.local_files import (
    CHUNK_BYTES,
    NO_RIGHTS,
    copy_to_disk,
    exists,
    info_of,
    is_local_key,
    make_folder,
    open_file,
    sync_folder,
    temporary_file,
)
from app.storage.local_listing import UnreadableFolder, Walk
from app.types import hash_content, hash_file

STATE_FOLDER = ".image2search"

NO_OBJECT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of a path at which there is no object to read."""

NO_SUCH_NAME = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
"""Errors of a path at which no file can be made: a folder has that name, a parent is a file, or it is too long."""


class LocalStore:
    """The `ObjectStore` of `file://`.

    A missing root folder raises StorageUnavailable: its disk may not be mounted.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._etags = EtagCache(self._root / STATE_FOLDER / "etags.sqlite3")

    @classmethod
    def from_url(cls, url: str) -> "LocalStore":
        """`file://data` is a folder in the working directory, `file:///srv/data` an absolute one, `~` the home folder.

        Raises InvalidSettings.
        """
        scheme, _, folder = url.partition("://")
        if scheme != "file" or not folder:
            raise InvalidSettings(f"STORAGE_URL={url} names no folder. Use file://folder or file:///absolute/folder.")
        return cls(Path(folder).expanduser())

    def get(self, key: str) -> StoredObject:
        with self._reading(key) as file:
            data = file.read()
        return StoredObject(data, hash_content(data))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        check_range(key, start, length)
        with self._reading(key) as file:
            file.seek(start)
            return file.read(length)

    def stream(self, key: str, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        with self._reading(key) as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    def head(self, key: str) -> ObjectInfo:
        with self._reading(key) as file:
            return info_of(key, os.fstat(file.fileno()), hash_file(file))

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        path = self._path(key)
        self._check_root()
        with self._writing(key), temporary_file(path.parent) as (temp, file):
            etag = copy_to_disk(BytesIO(body) if isinstance(body, bytes) else body, file)
            with self._lock():
                self._check_condition(key, if_match, if_none_match)
                temp.replace(path)
                sync_folder(path.parent)
        return etag

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._writing(key):
            self._check_root()
            if not exists(path):
                return
            with self._lock(), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
                sync_folder(path.parent)
                self._remove_empty(path.parent)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        folder = prefix[: prefix.rfind("/") + 1]
        if folder and not is_local_key(folder[:-1]):
            return
        self._check_root()
        walk = Walk(self._root, self._etags, prefix, start_after)
        try:
            if not self._leads_through_link(self._root / folder):
                yield from walk.files(folder)
        except UnreadableFolder as error:
            raise self._unreadable_folder(error) from error
        except OSError as error:
            raise self._failure(error, "list", prefix) from error
        if not prefix and not start_after and walk.folders:
            self._etags.keep_folders(walk.folders)

    def url(self, key: str, expires_s: int) -> str | None:
        """None: a browser can't fetch from a folder."""
        self._check(key)
        return None

    def uri(self, key: str) -> str:
        return f"file://{self._root.as_posix()}/{self._check(key)}"

    def _check(self, key: str) -> str:
        """Return `key` if an object in a folder can have it. Raises InvalidInput."""
        if not is_local_key(check_key(key)):
            raise InvalidInput(f"{key!r} can't be an object in a folder: no part of it may begin with a dot.")
        return key

    def _path(self, key: str) -> Path:
        """The object's file, which always lies below the root. Raises InvalidInput."""
        path = self._root / self._check(key)
        if self._leads_through_link(path.parent):
            raise InvalidInput(f"{key!r} leads through a symbolic link, which is not followed. Name the real folder.")
        return path

    def _leads_through_link(self, folder: Path) -> bool:
        """Whether a folder below the root is a symbolic link; the root itself may be one."""
        expected = os.path.join(os.path.realpath(self._root), folder.relative_to(self._root))  # noqa: PTH118
        return Path(os.path.realpath(folder)) != Path(expected)

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        """The object's open file; it keeps its content while others replace the object. Raises ObjectNotFound."""
        path = self._path(key)
        try:
            with open_file(path) as file:
                yield file
        except OSError as error:
            self._check_root()
            if error.errno in NO_OBJECT:
                raise ObjectNotFound(f"There is no object {key} in {self._root}.") from error
            raise self._failure(error, "read", key) from error

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        """Translate the errors of a write. Raises InvalidInput, StorageUnavailable."""
        try:
            yield
        except OSError as error:
            self._check_root()
            if error.errno in NO_SUCH_NAME:
                raise InvalidInput(
                    f"{key!r} can't be written in {self._root}: the name is too long, or a folder has this name, "
                    f"or one of its folders is a file. Choose another key."
                ) from error
            raise self._failure(error, "write", key) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep all other writers out, in this process and in others.

        Held for a check and a rename only, never while data is copied.
        """
        folder = self._root / STATE_FOLDER
        make_folder(folder)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _check_condition(self, key: str, if_match: str | None, if_none_match: bool) -> None:
        """Compare with the content itself, never with a remembered etag. Raises PreconditionFailed."""
        if if_match is None and not if_none_match:
            return
        try:
            current = self.head(key).etag
        except ObjectNotFound as error:
            if if_match is not None:
                raise PreconditionFailed(f"{key} is gone, so it was not replaced. Read the state again.") from error
            return
        if if_none_match:
            raise PreconditionFailed(f"{key} exists already, so it was not created. Read the state again.")
        if current != if_match:
            raise PreconditionFailed(f"{key} was changed by another writer, so it was not replaced. Read it again.")

    def _remove_empty(self, folder: Path) -> None:
        """Remove the folder and its parents while they are empty: as in S3, a folder exists only for its objects."""
        with suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _check_root(self) -> None:
        """Raises StorageUnavailable when the root is missing or is not a folder."""
        try:
            is_folder = stat.S_ISDIR(self._root.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageUnavailable(
                f"The folder {self._root} does not exist. Create it, mount its disk, or correct STORAGE_URL."
            ) from error
        except OSError:
            return  # the caller's next step raises the same error and says more about it
        if not is_folder:
            raise StorageUnavailable(f"{self._root} is not a folder: STORAGE_URL must name a folder.")

    def _failure(self, error: OSError, verb: str, key: str) -> AppError:
        what = f"Can't {verb} {key or 'the objects'} in {self._root}: {error.strerror or error}."
        return StorageUnavailable(f"{what} {self._remedy(error)}")

    def _unreadable_folder(self, error: OSError) -> StorageUnavailable:
        folder = Path(error.filename)
        user = os.geteuid()
        if folder == self._root:
            remedy = f"Give user {user} the rights to read and write {folder}, or set another STORAGE_URL."
        else:
            remedy = (
                f"Give user {user} the rights to read and enter {folder}, or move it out of {self._root}: a listing "
                f"without it would look as if its pictures were gone."
            )
        return StorageUnavailable(f"Can't list the folder {folder}: {error.strerror}. {remedy}")

    def _remedy(self, error: OSError) -> str:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "Free some disk space or raise the quota."
        if error.errno in NO_RIGHTS:
            where = error.filename or self._root
            return f"Give user {os.geteuid()} the rights to read and write {where}, or set another STORAGE_URL."
        if error.errno == errno.EROFS:
            return "The file system is read-only: mount it writable, or set another STORAGE_URL."
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            return "STORAGE_URL must name a folder."
        return "Check the disk, or set another STORAGE_URL."
