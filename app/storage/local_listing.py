"""The listing of a local store: a walk over its folders in key order, which reads only files that have changed.

A file's etag is the hash of its content. The etag cache remembers it, so an unchanged file is not read again. A file
whose etag the caller does not need is not read at all.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.storage.base import ObjectInfo, Selection, Unlisted
from app.storage.etag_cache import CachedEtag, OpenEtagCache, is_settled, stamp_of
from app.storage.local_files import (
    NO_RIGHTS,
    TEMP_PREFIX,
    info_of,
    is_local_key,
    open_file,
    open_subfolder,
    opened_folder,
    remove_if_stale,
)
from app.types import hash_file

log = logging.getLogger(__name__)

MAX_DEPTH = 200
"""Folders inside each other. Each one takes an open file during the walk; most systems allow 1,024 of them."""

GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Errors of a folder that was there a moment ago: it was removed, or something else has its name now."""

OUR_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors that are no fault of the folder or file."""


class UnreadableFolder(OSError):
    """A folder that can't be listed or entered; `filename` is its key."""


@dataclass
class Walk:
    """One listing: a walk in key order over the folders that can hold a key with `prefix` after `start_after`."""

    root: Path
    etags: OpenEtagCache
    prefix: str
    start_after: str
    selection: Selection
    folders: set[str] = field(default_factory=set)
    """Those with files whose etags were needed."""
    is_complete: bool = True
    """Whether every folder could be read."""

    def files(self, folder: str) -> Iterator[ObjectInfo]:
        """List below `folder`, which is empty or ends with a slash; a missing folder is an empty listing.

        Raises UnreadableFolder, OSError.
        """
        try:
            with opened_folder(self.root, folder.split("/")[:-1]) as at:
                handle = open_subfolder(".", at)
        except OSError as error:
            self._leave_out(folder, error)
        else:
            yield from self._below(folder, handle)

    def _below(self, folder: str, handle: int) -> Iterator[ObjectInfo]:
        """List below the folder with this descriptor, and close it. Raises UnreadableFolder, OSError."""
        try:
            yield from self._files(folder, handle)
        except OSError as error:
            self._leave_out(folder, error)
        finally:
            os.close(handle)

    def _files(self, folder: str, at: int) -> Iterator[ObjectInfo]:
        entries = self._entries(folder, at)
        reader = _FolderReader(self, folder, at)
        try:
            for key, entry in entries:
                if key.endswith("/"):
                    if self._may_hold(key):
                        yield from self._subfolder(key, entry.name, at)
                elif key.startswith(self.prefix) and key > self.start_after:
                    info = reader.info_of(key, entry)
                    if info is not None:
                        yield info
        finally:
            reader.remember({entry.name for _, entry in entries})

    def _subfolder(self, folder: str, name: str, at: int) -> Iterator[ObjectInfo]:
        if folder.count("/") > MAX_DEPTH:
            self._tell(folder, f"It lies more than {MAX_DEPTH} folders deep. Move it further up.")
            return
        try:
            handle = open_subfolder(name, at)
        except OSError as error:
            self._leave_out(folder, error)
        else:
            yield from self._below(folder, handle)

    def _may_hold(self, folder: str) -> bool:
        """Whether a key below `folder` can be part of this listing."""
        all_before = folder < self.start_after and not self.start_after.startswith(folder)
        return not all_before and (folder.startswith(self.prefix) or self.prefix.startswith(folder))

    def _entries(self, folder: str, at: int) -> list[tuple[str, os.DirEntry[str]]]:
        """Visible and selected files and folders, sorted by key.

        A folder's key ends with a slash, so `a.b` comes before `a/b`. Code points sort as their UTF-8 bytes do, so
        this is the order of S3.
        """
        excludes = self.selection.excludes
        entries = []
        with os.scandir(at) as found:
            for entry in found:
                if self._is_visible(folder, entry, at):
                    key = folder + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        key += "/"
                    if not excludes(key):
                        entries.append((key, entry))
        entries.sort(key=_key_of)
        return entries

    def _is_visible(self, folder: str, entry: os.DirEntry[str], at: int) -> bool:
        """Whether the file or folder is part of a listing. Old temporary files are removed on the way."""
        if entry.name.startswith("."):
            if entry.name.startswith(TEMP_PREFIX):
                remove_if_stale(entry.name, at)
            return False
        if not is_local_key(entry.name):
            printable = os.fsencode(folder + entry.name).decode(errors="backslashreplace")
            self._tell(printable, "Its name is not UTF-8 or contains a backslash. Rename it.")
            return False
        if entry.is_symlink():
            self._tell(
                folder + entry.name, "Symbolic links are not followed. Put the files there, or bind-mount the folder."
            )
            return False
        return True

    def _leave_out(self, folder: str, error: OSError) -> None:
        """Go on without this folder if the caller is told of it, or if it is gone. Raises UnreadableFolder, OSError."""
        if error.errno in GONE and folder:
            return
        if error.errno in OUR_LIMITS or isinstance(error, UnreadableFolder):
            raise error
        if not folder or self.selection.report is None:
            raise UnreadableFolder(error.errno, error.strerror, folder) from error
        self.is_complete = False
        remedy = f"Give user {os.geteuid()} the rights to read and enter it" if error.errno in NO_RIGHTS else ""
        self._tell(
            folder,
            f"The folder can't be read: {error.strerror}. {remedy or 'Check its disk'}, or name it in STORAGE_EXCLUDE.",
        )

    def _tell(self, key: str, reason: str) -> None:
        if self.selection.report is not None:
            self.selection.report(Unlisted(key, reason))
        else:
            log.warning("%s is not listed: %s", self.root / key, reason)


class _FolderReader:
    """Makes the listing entries of one folder's files, with the etags that the cache remembers."""

    def __init__(self, walk: Walk, folder: str, at: int) -> None:
        self._walk = walk
        self._needs_etag = walk.selection.needs_etag
        self._folder = folder
        self._path = walk.root / folder
        self._at = at
        self._known: dict[str, CachedEtag] | None = None
        """By name; None until a file of this folder needs its etag."""
        self._learned: dict[str, CachedEtag] = {}

    def info_of(self, key: str, entry: os.DirEntry[str]) -> ObjectInfo | None:
        """None if the file has just been deleted, or is no regular file. Raises OSError."""
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if self._needs_etag is None or not self._needs_etag(key, status.st_size):
            return info_of(key, status, f"unread-{stamp_of(status)}")
        if self._known is None:
            self._walk.folders.add(self._folder)
            self._known = self._walk.etags.load_folder(self._folder)
        cached = self._known.get(entry.name)
        if cached is not None and cached.stamp == stamp_of(status):
            return info_of(key, status, cached.etag)
        return self._read(key, entry.name, status)

    def remember(self, names: set[str]) -> None:
        """Write what was learned to the cache; `names` are all that there is in the folder."""
        if self._known is not None:
            self._walk.etags.update_folder(self._folder, self._learned, self._known.keys() - names)

    def _read(self, key: str, name: str, status: os.stat_result) -> ObjectInfo | None:
        """Read the file for its etag. One that can't be read is listed all the same: a later `get` says what is wrong.

        Such a file gets an etag made of its status, which equals the etag of no content and is not remembered.
        """
        try:
            status, etag = self._hash(name)
        except OSError as error:
            if error.errno in GONE:
                return None
            if error.errno in OUR_LIMITS:
                raise
            log.warning("%s can't be read: %s.", self._path / name, error.strerror)
            etag = f"unreadable-{stamp_of(status)}"
        return info_of(key, status, etag)

    def _hash(self, name: str) -> tuple[os.stat_result, str]:
        """Hash the content, and remember the hash unless a later write could leave the same stamp."""
        with open_file(name, self._at) as file:
            status = os.fstat(file.fileno())
            settled = is_settled(status)
            etag = hash_file(file)
        if settled:
            self._learned[name] = CachedEtag(stamp_of(status), etag)
        return status, etag


def _key_of(item: tuple[str, os.DirEntry[str]]) -> str:
    return item[0]
