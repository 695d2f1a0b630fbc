"""The listing of a local store: a walk over its folders in key order, which reads only files that have changed.

A file's etag is the hash of its content. The etag cache remembers it, so an unchanged file is not read again.
"""

import errno
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.storage.base import ObjectInfo
from app.storage.etag_cache import CachedEtag, EtagCache, is_settled, stamp_of
from app.storage.local_files import NO_RIGHTS, TEMP_PREFIX, info_of, is_local_key, open_file
from app.types import hash_file

log = logging.getLogger(__name__)

LOST_AND_FOUND = "lost+found/"
"""File systems make this folder at their top, and only root may read it. Where it is unreadable, it is not listed."""

STALE_TEMP_S = 86_400
"""A temporary file older than this was left by a writer that died."""

UNREADABLE = {*NO_RIGHTS, errno.EIO}
"""Errors of a single file: its neighbours may be fine."""


class UnreadableFolder(OSError):
    """A folder that may not be listed or entered; `filename` is the folder."""


@dataclass
class Walk:
    """One listing: a walk in key order over the folders that can hold a key with `prefix` after `start_after`."""

    root: Path
    etags: EtagCache
    prefix: str
    start_after: str
    folders: set[str] = field(default_factory=set)
    """The folders that were visited."""

    def files(self, folder: str) -> Iterator[ObjectInfo]:
        """List below `folder`, which is empty or ends with a slash; a missing folder is an empty listing.

        Raises UnreadableFolder, OSError.
        """
        entries = self._entries(folder)
        self.folders.add(folder)
        known = self.etags.load_folder(folder)
        learned: dict[str, CachedEtag] = {}
        try:
            for key, entry in entries:
                if key.endswith("/"):
                    if self._may_hold(key):
                        yield from self.files(key)
                elif key.startswith(self.prefix) and key > self.start_after:
                    yield from self._file(key, entry, known, learned)
        finally:
            self.etags.update_folder(folder, learned, known.keys() - {entry.name for _, entry in entries})

    def _may_hold(self, folder: str) -> bool:
        """Whether a key below `folder` can be part of this listing."""
        all_before = folder < self.start_after and not self.start_after.startswith(folder)
        return not all_before and (folder.startswith(self.prefix) or self.prefix.startswith(folder))

    def _entries(self, folder: str) -> list[tuple[str, os.DirEntry[str]]]:
        """Visible files and folders, sorted by key.

        A folder's key ends with a slash, so `a.b` comes before `a/b`. Code points sort as their UTF-8 bytes do, so
        this is the order of S3.
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
            raise UnreadableFolder(error.errno, error.strerror, str(self.root / folder)) from error
        return sorted(
            ((f"{key}/" if entry.is_dir(follow_symlinks=False) else key, entry) for key, entry in entries),
            key=lambda item: item[0],
        )

    def _file(
        self, key: str, entry: os.DirEntry[str], known: dict[str, CachedEtag], learned: dict[str, CachedEtag]
    ) -> Iterator[ObjectInfo]:
        """The file's listing entry; nothing if the file has just been deleted."""
        with suppress(FileNotFoundError):
            status = _status(entry)
            if not stat.S_ISREG(status.st_mode):
                return
            cached = known.get(entry.name)
            if cached is None or cached.stamp != stamp_of(status):
                status, cached = self._etag_if_readable(entry, status, learned)
            yield info_of(key, status, cached.etag)

    def _etag_if_readable(
        self, entry: os.DirEntry[str], status: os.stat_result, learned: dict[str, CachedEtag]
    ) -> tuple[os.stat_result, CachedEtag]:
        """The file's etag. A file that can't be read is listed all the same: a later `get` says what is wrong.

        Such a file gets an etag made of its status, which equals the etag of no content and is not remembered.
        """
        try:
            return self._read_etag(entry, learned)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            log.warning("%s can't be read: %s.", entry.path, error.strerror)
            return status, CachedEtag(stamp_of(status), f"unreadable-{stamp_of(status)}")

    def _read_etag(self, entry: os.DirEntry[str], learned: dict[str, CachedEtag]) -> tuple[os.stat_result, CachedEtag]:
        """Hash the content, and remember the hash unless a later write could leave the same stamp."""
        with open_file(Path(entry.path)) as file:
            status = os.fstat(file.fileno())
            settled = is_settled(status)
            cached = CachedEtag(stamp_of(status), hash_file(file))
        if settled:
            learned[entry.name] = cached
        return status, cached


def _is_visible(entry: os.DirEntry[str]) -> bool:
    """Whether the file or folder is part of a listing. Old temporary files are removed on the way."""
    if entry.name.startswith("."):
        if entry.name.startswith(TEMP_PREFIX):
            _remove_if_stale(entry)
        return False
    if not is_local_key(entry.name):
        log.warning("%r is not listed: its name is not UTF-8 or contains a backslash. Rename it.", entry.path)
        return False
    if entry.is_symlink():
        log.warning(
            "%s is not listed: symbolic links are not followed. Put the files there, or bind-mount.", entry.path
        )
        return False
    return True


def _remove_if_stale(temporary: os.DirEntry[str]) -> None:
    with suppress(OSError):
        if temporary.stat(follow_symlinks=False).st_mtime < time.time() - STALE_TEMP_S:
            Path(temporary.path).unlink()


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    """Raises UnreadableFolder where the folder may be listed but not entered."""
    try:
        return entry.stat(follow_symlinks=False)
    except PermissionError as error:
        raise UnreadableFolder(error.errno, error.strerror, str(Path(entry.path).parent)) from error
