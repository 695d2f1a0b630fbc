"""Etags of local files, remembered from one listing to the next: an unchanged file is not read again.

An entry is trusted while size, modification and change time and inode are what they were. A file that was written so
shortly before it was read that a later write could carry the same times is not remembered, as in git's index
(Documentation/technical/racy-git). The cache is a convenience: losing it, or being unable to write it, costs reading.
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
"""Coarsest timestamp in use: FAT's two seconds."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS etags "
    "(folder TEXT, name TEXT, stamp TEXT, etag TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class CachedEtag:
    """An etag, and the file's stamp when its content was read."""

    stamp: str
    etag: str


def stamp_of(status: os.stat_result) -> str:
    """What of a file's status changes when its content does."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def is_settled(status: os.stat_result) -> bool:
    """Whether any write from now on must change the stamp. Ask before reading the content."""
    return max(status.st_mtime_ns, status.st_ctime_ns) + SETTLE_NS < time.time_ns()


class EtagCache:
    """Etags by folder and name in one SQLite file. Thread- and process-safe."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, folder: str) -> dict[str, CachedEtag]:
        """What is remembered of the files directly in `folder`, by name."""
        found: dict[str, CachedEtag] = {}

        def select(database: sqlite3.Connection) -> None:
            rows = database.execute("SELECT name, stamp, etag FROM etags WHERE folder = ?", [folder])
            found.update((name, CachedEtag(stamp, etag)) for name, stamp, etag in rows)

        self._within_transaction(select)
        return found

    def write(self, folder: str, changed: Mapping[str, CachedEtag], gone: Iterable[str]) -> None:
        """Remember and forget files of one folder."""
        dropped = [(folder, name) for name in gone]
        rows = [(folder, name, entry.stamp, entry.etag) for name, entry in changed.items()]

        def update(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM etags WHERE folder = ? AND name = ?", dropped)
            database.executemany("INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?)", rows)

        if dropped or rows:
            self._within_transaction(update)

    def keep_only(self, folders: set[str]) -> None:
        """Forget every other folder."""

        def prune(database: sqlite3.Connection) -> None:
            known = database.execute("SELECT DISTINCT folder FROM etags").fetchall()
            database.executemany("DELETE FROM etags WHERE folder = ?", [row for row in known if row[0] not in folders])

        self._within_transaction(prune)

    def _within_transaction(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Run `work` if the cache can be used; if not, say so in the log and go on without."""
        try:
            self._file.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=2)) as connection, connection:
                connection.execute(SCHEMA)
                work(connection)
        except (OSError, sqlite3.OperationalError) as error:
            log.debug("The etag cache %s can't be used now, files are read instead: %s", self._file, error)
        except sqlite3.DatabaseError as error:
            log.warning("The etag cache %s is damaged and starts anew: %s", self._file, error)
            self._file.unlink(missing_ok=True)
