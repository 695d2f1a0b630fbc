"""Temporary folders that a killed process does not leave for ever: the next one that needs such a folder removes them.

Each folder is locked (flock) while its process lives. A folder of our name whose lock is free was left behind.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ATTEMPTS = 100
FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end. No other program's names begin with `prefix`. Raises OSError."""
    _remove_left_behind(parent, prefix)
    folder, lock = _make(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock."""
    for _ in range(ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        handle = _lock(folder)
        if handle is not None:
            return folder, handle
    raise FileNotFoundError(f"Other processes remove every new folder in {parent}")


def _lock(folder: Path) -> int | None:
    """The descriptor that holds the lock; None if another process removes the folder before it is locked."""
    try:
        handle = os.open(folder, FLAGS)
    except FileNotFoundError:
        return None
    try:
        with suppress(OSError):  # a file system without locks: no process can lock the folder to remove it
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(handle), folder.lstat()):
            return handle
    except FileNotFoundError:
        pass
    os.close(handle)
    return None


def _remove_left_behind(parent: Path, prefix: str) -> None:
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                _remove_if_free(Path(entry.path))


def _remove_if_free(folder: Path) -> None:
    with suppress(OSError):  # in use, another user's, or gone
        handle = os.open(folder, FLAGS)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
