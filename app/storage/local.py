"""Object storage in a local folder (POSIX): one file per object, the key is its relative path.

A write goes to a temporary file beside its target, reaches the disk, and is renamed into place. So a reader, or a
restart after a crash, finds the old content or the new one. Conditional writes hold a lock file (`flock`), which makes
them atomic between processes. The etag is the content's hash. Names that begin with a dot belong to the store or the
system: they are never listed and never accepted as a key. Symbolic links below the root are never followed.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from app.errors import AppError, InvalidInput, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import (
    CHUNK_BYTES,
    EVERYTHING,
    ObjectInfo,
    Selection,
    StoredObject,
    check_key,
    check_range,
    read_bounded,
)
from app.storage.etag_cache import EtagCache
from app.storage.local_files import (
    NO_RIGHTS,
    LinkedFolder,
    copy_to_disk,
    info_of,
    is_local_key,
    open_file,
    opened_folder,
    sync_folder,
    temporary_file,
)
from app.storage.local_listing import UnreadableFolder, Walk
from app.storage.urls import folder_of_url
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

    def __init__(self, root: Path, *, etag_cache: Path | None = None, setting: str = "STORAGE_URL") -> None:
        """`etag_cache` is the file for etags where the root may be read-only. Messages name `setting`."""
        self._root = root.absolute()
        self._uri_before_key = f"file://{self._root.as_posix()}/"
        self._etags = EtagCache(etag_cache or self._root / STATE_FOLDER / "etags.sqlite3")
        self._setting = setting

    @classmethod
    def from_url(cls, url: str, *, etag_cache: Path | None = None, setting: str = "STORAGE_URL") -> "LocalStore":
        """The store in the folder that `url` names, see `folder_of_url`. Raises InvalidSettings."""
        return cls(folder_of_url(url, setting), etag_cache=etag_cache, setting=setting)

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        with self._reading(key) as file:
            data = read_bounded(file, key, max_bytes)
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
        *folders, name = self._check(key).split("/")
        self._check_root()
        with self._writing(key), temporary_file(self._root, folders) as (at, temp, file):
            etag = copy_to_disk(BytesIO(body) if isinstance(body, bytes) else body, file)
            with self._lock():
                self._check_condition(key, if_match, if_none_match)
                os.replace(temp, name, src_dir_fd=at, dst_dir_fd=at)
                sync_folder(at)
        return etag

    def delete(self, key: str) -> None:
        *folders, name = self._check(key).split("/")
        self._check_root()
        with self._writing(key), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            with opened_folder(self._root, folders) as at:
                os.stat(name, dir_fd=at, follow_symlinks=False)
                with self._lock():
                    os.unlink(name, dir_fd=at)
                    sync_folder(at)
            self._remove_empty(folders)

    def list(
        self, prefix: str = "", *, start_after: str = "", selection: Selection = EVERYTHING
    ) -> Iterator[ObjectInfo]:
        folder = prefix[: prefix.rfind("/") + 1]
        if folder and not is_local_key(folder[:-1]):
            return
        self._check_root()
        with self._etags.opened() as etags:
            walk = Walk(self._root, etags, prefix, start_after, selection)
            try:
                yield from walk.files(folder)
            except UnreadableFolder as error:
                raise self._unreadable_folder(error) from error
            except OSError as error:
                raise self._failure(error, "list", prefix) from error
            if selection.needs_etag and walk.is_complete and not prefix and not start_after:
                etags.keep_folders(walk.folders)

    def url(self, key: str, expires_s: int) -> str | None:
        """None: a browser can't fetch from a folder."""
        self._check(key)
        return None

    def uri(self, key: str) -> str:
        return self._uri_before_key + self._check(key)

    def _check(self, key: str) -> str:
        """Return `key` if an object in a folder can have it. Raises InvalidInput."""
        if not is_local_key(check_key(key)):
            raise InvalidInput(f"{key!r} can't be an object in a folder: no part of it may begin with a dot.")
        return key

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        """The object's open file; it keeps its content while others replace the object. Raises ObjectNotFound."""
        *folders, name = self._check(key).split("/")
        try:
            with opened_folder(self._root, folders) as at:
                file = open_file(name, at)
            with file:
                yield file
        except LinkedFolder as error:
            raise _leads_through_link(key) from error
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
        except LinkedFolder as error:
            raise _leads_through_link(key) from error
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
        with opened_folder(self._root, [STATE_FOLDER], create=True) as at:
            handle = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=at)
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

    def _remove_empty(self, folders: Sequence[str]) -> None:
        """Remove the folder and its parents while they are empty: as in S3, a folder exists only for its objects."""
        with suppress(OSError):
            for depth in range(len(folders), 0, -1):
                with opened_folder(self._root, folders[: depth - 1]) as at:
                    os.rmdir(folders[depth - 1], dir_fd=at)

    def _check_root(self) -> None:
        """Raises StorageUnavailable when the root is missing or is not a folder."""
        try:
            is_folder = stat.S_ISDIR(self._root.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageUnavailable(
                f"The folder {self._root} does not exist. Create it, mount its disk, or correct {self._setting}."
            ) from error
        except OSError:
            return  # the caller's next step raises the same error and says more about it
        if not is_folder:
            raise StorageUnavailable(f"{self._root} is not a folder: {self._setting} must name a folder.")

    def _failure(self, error: OSError, verb: str, key: str) -> AppError:
        what = f"Can't {verb} {key or 'the objects'} in {self._root}: {error.strerror or error}."
        return StorageUnavailable(f"{what} {self._remedy(error, verb)}")

    def _unreadable_folder(self, error: OSError) -> StorageUnavailable:
        folder = self._root / error.filename
        user = os.geteuid()
        if folder == self._root:
            remedy = f"Give user {user} the rights to read and write {folder}, or set another {self._setting}."
        else:
            remedy = (
                f"Give user {user} the rights to read and enter {folder}, or move it out of {self._root}: a listing "
                f"without it would look as if its pictures were gone."
            )
        return StorageUnavailable(f"Can't list the folder {folder}: {error.strerror}. {remedy}")

    def _remedy(self, error: OSError, verb: str) -> str:
        read_only = " To index pictures that stay read-only, set INDEX_URL." if verb == "write" else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "Free some disk space or raise the quota."
        if error.errno in NO_RIGHTS:
            rights = f"Give user {os.geteuid()} the rights to read and write {self._root}"
            return f"{rights}, or set another {self._setting}.{read_only}"
        if error.errno == errno.EROFS:
            return f"The file system is read-only: mount it writable, or set another {self._setting}.{read_only}"
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            return f"{self._setting} must name a folder."
        return f"Check the disk, or set another {self._setting}."


def _leads_through_link(key: str) -> InvalidInput:
    return InvalidInput(f"{key!r} leads through a symbolic link, which is not followed. Name the real folder.")
