"""Helpers for the folder of a local store: its keys and names, the age of a file, missing rights."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.storage.local import LocalStore


def keys(store: LocalStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float = 60) -> None:
    """Set the file's modification time back. Its change time stays: that can't be set."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@contextmanager
def without_rights(*paths: Path, mode: int = 0) -> Iterator[None]:
    """Give `paths` these rights. No mode stops root, so root becomes the user `nobody` for the time."""
    is_root = os.geteuid() == 0
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    for path in paths:
        path.chmod(mode)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, before in zip(paths, modes, strict=True):
            path.chmod(before)
