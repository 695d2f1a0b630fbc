"""Object storage in a local folder (POSIX): one file per object, the key is its relative path.

A write goes to a temporary file beside its target, reaches the disk, and is renamed into place, so that a reader or a
crash meets the old content or the new one. Conditional writes hold a lock file (`flock`), which makes them atomic
between processes. The etag is the content's hash. Names that begin with a dot are the store's own or the system's:
never listed, never accepted as a key. Symbolic links below the root are not followed.
"""

import errno
import fcntl
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from app.errors import AppError, InvalidInput, InvalidSettings, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectInfo, StoredObject, check_key
from app.storage.etag_cache import CachedEtag, EtagCache, is_settled, stamp_of
from app.types import hash_content

log = logging.getLogger(__name__)

STATE_FOLDER = ".image2search"
TEMP_PREFIX = ".image2search-tmp-"
LOST_AND_FOUND = "lost+found/"
"""Made by the file system at its top, for root alone; where it can't be read it is no part of the pictures."""

STALE_TEMP_S = 86_400
"""A temporary file this old was left by a writer that died."""

CHUNK_BYTES = 1 << 20
NO_OBJECT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""A path at which nothing can be read as an object."""

NO_SUCH_NAME = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
"""A path at which no file can be made: a folder bears the name, a file stands for a folder, or it is too long."""

NO_RIGHTS = {errno.EACCES, errno.EPERM}

UNREADABLE = {*NO_RIGHTS, errno.EIO}
"""What can be wrong with one file while its neighbours are well."""


class LocalStore:
    """The `ObjectStore` of `file://`. A folder that is absent is storage that is down: its disk may not be mounted."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._etags = EtagCache(self._root / STATE_FOLDER / "etags.sqlite3")

    @classmethod
    def from_url(cls, url: str) -> "LocalStore":
        """`file://data` is a folder of the working directory, `file:///srv/data` an absolute one, `~` the home.

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
        if start < 0 or length < 0:
            raise InvalidInput(f"The range {start}+{length} of {key} is none: start and length are 0 or more.")
        with self._reading(key) as file:
            file.seek(start)
            return file.read(length)

    def stream(self, key: str, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        with self._reading(key) as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    def head(self, key: str) -> ObjectInfo:
        with self._reading(key) as file:
            return _info(key, os.fstat(file.fileno()), _hash(file))

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
        with self._writing(key), _temporary(path.parent) as (temp, file):
            etag = _copy(BytesIO(body) if isinstance(body, bytes) else body, file)
            with self._lock():
                self._check_condition(key, if_match, if_none_match)
                temp.replace(path)
                _sync_folder(path.parent)
        return etag

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._writing(key):
            self._check_root()
            if not _is_there(path):
                return
            with self._lock(), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
                _sync_folder(path.parent)
                self._remove_empty(path.parent)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        folder = prefix[: prefix.rfind("/") + 1]
        if folder and not _is_key(folder[:-1]):
            return
        self._check_root()
        walk = _Walk(self._root, self._etags, prefix, start_after)
        try:
            if not self._leads_through_link(self._root / folder):
                yield from walk.files(folder)
        except _UnreadableFolder as error:
            raise self._unreadable_folder(error) from error
        except OSError as error:
            raise self._failure(error, "list", prefix) from error
        if not prefix and not start_after and walk.folders:
            self._etags.keep_only(walk.folders)

    def url(self, key: str, expires_s: int) -> str | None:
        """None: a folder has no address that a browser could reach."""
        self._check(key)
        return None

    def uri(self, key: str) -> str:
        return f"file://{self._root.as_posix()}/{self._check(key)}"

    def _check(self, key: str) -> str:
        """Raises InvalidInput when no object can have this name."""
        if not _is_key(check_key(key)):
            raise InvalidInput(f"{key!r} can't be an object in a folder: no part of it may begin with a dot.")
        return key

    def _path(self, key: str) -> Path:
        """The object's file, below the root whatever the key. Raises InvalidInput."""
        path = self._root / self._check(key)
        if self._leads_through_link(path.parent):
            raise InvalidInput(f"{key!r} leads through a symbolic link, which is not followed. Name the real folder.")
        return path

    def _leads_through_link(self, folder: Path) -> bool:
        """Whether a part below the root is a symbolic link; the root itself may be one."""
        expected = os.path.join(os.path.realpath(self._root), folder.relative_to(self._root))  # noqa: PTH118
        return Path(os.path.realpath(folder)) != Path(expected)

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        """The object's open file, which stays whole while others replace it. Raises ObjectNotFound."""
        path = self._path(key)
        try:
            with _open(path) as file:
                yield file
        except OSError as error:
            self._check_root()
            if error.errno in NO_OBJECT:
                raise ObjectNotFound(f"There is no object {key} in {self._root}.") from error
            raise self._failure(error, "read", key) from error

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._check_root()
            if error.errno in NO_SUCH_NAME:
                raise InvalidInput(
                    f"{key!r} can't be written in {self._root}: it is too long, or a folder where a file is needed, "
                    f"or the other way round. Choose another key."
                ) from error
            raise self._failure(error, "write", key) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keeps every other writer out, in this process and in others. Held for a rename, never while data flows."""
        folder = self._root / STATE_FOLDER
        _make_folder(folder)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _check_condition(self, key: str, if_match: str | None, if_none_match: bool) -> None:
        """Compare with the content as it is, never with a remembered etag. Raises PreconditionFailed."""
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
            raise PreconditionFailed(f"{key} was changed by somebody else, so it was not replaced. Read it again.")

    def _remove_empty(self, folder: Path) -> None:
        """Folders exist only for what is in them, as in S3."""
        with suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _check_root(self) -> None:
        """Raises StorageUnavailable where there is no folder to look into."""
        try:
            is_folder = stat.S_ISDIR(self._root.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageUnavailable(
                f"The folder {self._root} does not exist. Create it, mount its disk, or correct STORAGE_URL."
            ) from error
        except OSError:
            return  # what the caller meets next says more about it
        if not is_folder:
            raise StorageUnavailable(f"{self._root} is no folder: STORAGE_URL must name a folder.")

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


class _UnreadableFolder(OSError):
    """A folder that may not be listed or entered; its `filename` is the folder."""


@dataclass
class _Walk:
    """One listing: a walk in key order over the folders that can hold a key it asks for."""

    root: Path
    etags: EtagCache
    prefix: str
    start_after: str
    folders: set[str] = field(default_factory=set)
    """Where it has been."""

    def files(self, folder: str) -> Iterator[ObjectInfo]:
        """`folder` is empty or ends with a slash. Nothing there is an empty listing."""
        entries = self._entries(folder)
        self.folders.add(folder)
        known = self.etags.read(folder)
        learned: dict[str, CachedEtag] = {}
        try:
            for key, entry in entries:
                if key.endswith("/"):
                    if self._may_hold(key):
                        yield from self.files(key)
                elif key.startswith(self.prefix) and key > self.start_after:
                    yield from self._file(key, entry, known, learned)
        finally:
            self.etags.write(folder, learned, known.keys() - {entry.name for _, entry in entries})

    def _may_hold(self, folder: str) -> bool:
        all_before = folder < self.start_after and not self.start_after.startswith(folder)
        return not all_before and (folder.startswith(self.prefix) or self.prefix.startswith(folder))

    def _entries(self, folder: str) -> list[tuple[str, os.DirEntry[str]]]:
        """Visible files and folders by key; a folder's key ends with a slash, which is what sorts `a.b` before `a/b`.

        Code points sort as their UTF-8 bytes do, so this is the order of S3.
        """
        try:
            with os.scandir(self.root / folder) as found:
                entries = [(folder + entry.name, entry) for entry in found if _is_visible(entry)]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            if folder:
                return []
            raise
        except PermissionError as error:
            if folder == LOST_AND_FOUND:
                return []
            raise _UnreadableFolder(error.errno, error.strerror, str(self.root / folder)) from error
        return sorted(
            ((f"{key}/" if entry.is_dir(follow_symlinks=False) else key, entry) for key, entry in entries),
            key=lambda item: item[0],
        )

    def _file(
        self, key: str, entry: os.DirEntry[str], known: dict[str, CachedEtag], learned: dict[str, CachedEtag]
    ) -> Iterator[ObjectInfo]:
        """The file's listing entry; none if it has just been deleted."""
        with suppress(FileNotFoundError):
            status = _status(entry)
            if not stat.S_ISREG(status.st_mode):
                return
            cached = known.get(entry.name)
            if cached is None or cached.stamp != stamp_of(status):
                status, cached = self._read_if_possible(entry, status, learned)
            yield _info(key, status, cached.etag)

    def _read_if_possible(
        self, entry: os.DirEntry[str], status: os.stat_result, learned: dict[str, CachedEtag]
    ) -> tuple[os.stat_result, CachedEtag]:
        """A file that can't be read is an object all the same: whoever gets it is told what is wrong with it.

        Its etag is made of its status alone, equals that of no content, and is not remembered.
        """
        try:
            return self._read(entry, learned)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            log.warning("%s can't be read: %s.", entry.path, error.strerror)
            return status, CachedEtag(stamp_of(status), f"unreadable-{stamp_of(status)}")

    def _read(self, entry: os.DirEntry[str], learned: dict[str, CachedEtag]) -> tuple[os.stat_result, CachedEtag]:
        with _open(Path(entry.path)) as file:
            status = os.fstat(file.fileno())
            settled = is_settled(status)
            cached = CachedEtag(stamp_of(status), _hash(file))
        if settled:
            learned[entry.name] = cached
        return status, cached


def _is_key(key: str) -> bool:
    """Whether `key` can be an object in a folder: relative, nowhere hidden, nowhere climbing."""
    try:
        check_key(key)
    except InvalidInput:
        return False
    return not any(part.startswith(".") for part in key.split("/"))


def _is_visible(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        if entry.name.startswith(TEMP_PREFIX):
            _sweep(entry)
        return False
    if not _is_key(entry.name):
        log.warning("%r is not listed: its name is not UTF-8 or holds a backslash. Rename it.", entry.path)
        return False
    if entry.is_symlink():
        log.warning(
            "%s is not listed: symbolic links are not followed. Put the files there, or bind-mount.", entry.path
        )
        return False
    return True


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    """Refused where the folder may be listed but not entered."""
    try:
        return entry.stat(follow_symlinks=False)
    except PermissionError as error:
        raise _UnreadableFolder(error.errno, error.strerror, str(Path(entry.path).parent)) from error


def _sweep(entry: os.DirEntry[str]) -> None:
    """Remove a temporary file that its writer left behind long ago."""
    with suppress(OSError):
        if entry.stat(follow_symlinks=False).st_mtime < time.time() - STALE_TEMP_S:
            Path(entry.path).unlink()


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _open(path: Path) -> BinaryIO:
    """Open a regular file for reading; anything else is as good as absent, and a named pipe does not block."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", str(path))
    return os.fdopen(handle, "rb")


def _info(key: str, status: os.stat_result, etag: str) -> ObjectInfo:
    return ObjectInfo(key, etag, status.st_size, status.st_mtime)


def _hash(file: BinaryIO) -> str:
    """`hash_content` of a file, in bounded memory."""
    digest = blake2b(digest_size=16)
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _copy(source: BinaryIO, target: BinaryIO) -> str:
    """Copy to the disk itself, not just to the system's memory, and return the etag."""
    digest = blake2b(digest_size=16)
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in `folder`, made with it; gone at the end unless it was renamed."""
    path = folder / f"{TEMP_PREFIX}{secrets.token_hex(8)}"
    file = _create(path)
    try:
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path) -> BinaryIO:
    """Tries again while a `delete` keeps removing the folder, which is still empty, under our feet."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            _make_folder(path.parent)
            return path.open("xb")
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _make_folder(folder: Path) -> None:
    """The folder and those above it, each one's name on the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Names live in their folder: a rename outlasts a power cut once the folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
