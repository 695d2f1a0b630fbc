"""Etags of local files, remembered from one listing to the next: an unchanged file is not read again.

An entry is valid while the file's size, modification time, change time and inode stay the same. A file that was written
just before it was read is not remembered, because a second write could leave the same times. git's index does the same
(Documentation/technical/racy-git). If the cache is lost or can't be written, files are read again, and that is all.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SETTLE_NS = 2_000_000_000
"""The coarsest timestamps in use are those of FAT: two seconds."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS etags "
    "(folder TEXT, name TEXT, stamp TEXT, etag TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class CachedEtag:
    """An etag, and the stamp that the file had when its content was read."""

    stamp: str
    etag: str


def stamp_of(status: os.stat_result) -> str:
    """The parts of a file's status that change when its content changes."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def is_settled(status: os.stat_result) -> bool:
    """Whether every write from now on changes the stamp. Call this before the content is read."""
    return max(status.st_mtime_ns, status.st_ctime_ns) + SETTLE_NS < time.time_ns()


class EtagCache:
    """Etags by folder and name in one SQLite file. Thread- and process-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load_folder(self, folder: str) -> dict[str, CachedEtag]:
        """The remembered etags of the files directly in `folder`, by name."""
        found: dict[str, CachedEtag] = {}

        def select(database: sqlite3.Connection) -> None:
            rows = database.execute("SELECT name, stamp, etag FROM etags WHERE folder = ?", [folder])
            found.update((name, CachedEtag(stamp, etag)) for name, stamp, etag in rows)

        self._within_transaction(select)
        return found

    def update_folder(self, folder: str, changed: Mapping[str, CachedEtag], gone: Iterable[str]) -> None:
        """Remember the changed files of one folder and forget those that are gone."""
        dropped = [(folder, name) for name in gone]
        rows = [(folder, name, entry.stamp, entry.etag) for name, entry in changed.items()]

        def update(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM etags WHERE folder = ? AND name = ?", dropped)
            database.executemany("INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?)", rows)

        if dropped or rows:
            self._within_transaction(update)

    def keep_folders(self, folders: set[str]) -> None:
        """Forget all folders but these."""

        def prune(database: sqlite3.Connection) -> None:
            known = database.execute("SELECT DISTINCT folder FROM etags").fetchall()
            database.executemany("DELETE FROM etags WHERE folder = ?", [row for row in known if row[0] not in folders])

        self._within_transaction(prune)

    def _within_transaction(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Run `work`. If the cache can't be used, log that and go on without it."""
        try:
            self._file.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=2)) as connection, connection:
                connection.execute(SCHEMA)
                work(connection)
        except (OSError, sqlite3.OperationalError) as error:
            log.debug("The etag cache %s can't be used now, so files are read again: %s", self._file, error)
        except sqlite3.DatabaseError as error:
            log.warning("The etag cache %s is damaged and starts anew: %s", self._file, error)
            self._file.unlink(missing_ok=True)
