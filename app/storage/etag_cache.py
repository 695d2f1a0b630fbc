"""Etags of local files, remembered from one listing to the next: an unchanged file is not read again.

An entry is valid while the file's size, modification time, change time and inode stay the same. A file that was written
just before it was read is not remembered, because a second write could leave the same times. git's index does the same
(Documentation/technical/racy-git). If the cache is lost or can't be used, files are read again, and that is all.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

log = logging.getLogger(__name__)

SETTLE_NS = 2_000_000_000
"""The coarsest timestamps in use are those of FAT: two seconds."""

LOCK_TIMEOUT_S = 2
"""Another process writes one folder's etags in milliseconds. What takes longer is stuck."""

VERSION = 1
"""Of the schema. A cache of another version starts anew."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS etags "
    "(folder TEXT, name TEXT, stamp TEXT, etag TEXT, checksum INTEGER, PRIMARY KEY (folder, name)) WITHOUT ROWID"
)

UNUSABLE_NOW = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL),
}
"""Errors of the file's surroundings: the cache itself may be whole."""


@dataclass(frozen=True, slots=True)
class CachedEtag:
    """An etag, and the stamp that the file had when its content was read."""

    stamp: str
    etag: str


def stamp_of(status: os.stat_result) -> str:
    """The parts of a file's status that change when its content changes."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def is_settled(status: os.stat_result) -> bool:
    """Whether every write from now on changes the stamp. Call this before the content is read.

    A date in the future was set on purpose or by a wrong clock, and says nothing about the last write. The change time
    does: it can't be set.
    """
    now = time.time_ns()
    written = status.st_ctime_ns if status.st_mtime_ns > now else max(status.st_mtime_ns, status.st_ctime_ns)
    return written + SETTLE_NS < now


class EtagCache:
    """Etags by folder and name in one SQLite file. Thread- and process-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def opened(self) -> Iterator["OpenEtagCache"]:
        """The cache for one listing. The file is opened when it is first needed."""
        cache = OpenEtagCache(self._file)
        try:
            yield cache
        finally:
            cache.close()


class OpenEtagCache:
    """The cache during one listing. After the first error it is empty and takes nothing in; the log says so once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._is_given_up = False

    def load_folder(self, folder: str) -> dict[str, CachedEtag]:
        """The remembered etags of the files directly in `folder`, by name."""
        found: dict[str, CachedEtag] = {}

        def select(database: sqlite3.Connection) -> None:
            for row in database.execute("SELECT name, stamp, etag, checksum FROM etags WHERE folder = ?", [folder]):
                name, stamp, etag, checksum = row
                if checksum != _checksum(folder, name, stamp, etag):
                    raise sqlite3.DatabaseError(f"the entry of {folder}{name} has a wrong checksum")
                found[name] = CachedEtag(stamp, etag)

        return found if self._within_transaction(select) else {}

    def update_folder(self, folder: str, changed: Mapping[str, CachedEtag], gone: Iterable[str]) -> None:
        """Remember the changed files of one folder and forget those that are gone."""
        dropped = [(folder, name) for name in gone]
        rows = [
            (folder, name, entry.stamp, entry.etag, _checksum(folder, name, entry.stamp, entry.etag))
            for name, entry in changed.items()
        ]

        def update(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM etags WHERE folder = ? AND name = ?", dropped)
            database.executemany("INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?, ?)", rows)

        if dropped or rows:
            self._within_transaction(update)

    def keep_folders(self, folders: set[str]) -> None:
        """Forget all folders but these."""

        def prune(database: sqlite3.Connection) -> None:
            known = database.execute("SELECT DISTINCT folder FROM etags").fetchall()
            database.executemany("DELETE FROM etags WHERE folder = ?", [row for row in known if row[0] not in folders])

        self._within_transaction(prune)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _within_transaction(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Run `work` and return True. If the cache can't be used, give it up for this listing."""
        if self._is_given_up:
            return False
        try:
            with self._open() as connection:
                work(connection)
        except (OSError, sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            self._give_up(error)
            return False
        return True

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            _refuse_link(self._file.parent)
            self._file.parent.mkdir(exist_ok=True)  # its parent is the library itself, or a folder that is there
            # A listing may go on in another thread than it began in, but never in two at once.
            self._connection = sqlite3.connect(self._file, timeout=LOCK_TIMEOUT_S, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous = OFF")  # after a power cut the checksums tell what was torn
            if self._connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
                self._connection.executescript(f"DROP TABLE IF EXISTS etags; PRAGMA user_version = {VERSION}")
            self._connection.execute(SCHEMA)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        self._is_given_up = True
        self.close()
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, OSError) or (code is not None and code & 0xFF in UNUSABLE_NOW):
            log.warning(
                "The etag cache %s can't be used (%s): this listing reads every file again. Check whether another "
                "process holds it, and whether its folder can be written.", self._file, error,
            )  # fmt: skip
            return
        log.warning("The etag cache %s is damaged (%s): it starts anew, and files are read again.", self._file, error)
        for suffix in ("", "-journal"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)


def _checksum(*fields: str) -> int:
    """Raises TypeError for a field that damage has turned into something else than text."""
    return crc32("\0".join(fields).encode())


def _refuse_link(folder: Path) -> None:
    """Raises OSError: a link could lead to another program's database."""
    if folder.is_symlink():
        raise OSError(f"{folder} is a symbolic link")
