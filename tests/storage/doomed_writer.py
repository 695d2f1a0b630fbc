"""A writer that is killed in the middle of a write. The crash tests start it in a process of its own."""

import os
import signal
from pathlib import Path
from typing import Any, NoReturn

from app.storage.local import LocalStore

CONTENT = b"n" * (4 << 20)
POINTS = ("in the middle", "before the disk", "before the rename", "after the rename")


def write_and_die(root: str, key: str, point: str) -> None:
    """Write `CONTENT` to the store at `root`; the process kills itself at `point`."""
    rename = os.replace

    def rename_and_die(*args: Any, **options: Any) -> NoReturn:
        rename(*args, **options)
        die()

    if point == "before the disk":
        os.fsync = die
    if point == "before the rename":
        os.replace = die
    if point == "after the rename":
        os.replace = rename_and_die
    LocalStore(Path(root)).put(key, Body(dies_in_the_middle=point == "in the middle"))  # type: ignore[arg-type]


def die(*_: object, **__: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL can't be caught")


class Body:
    """`CONTENT` in chunks of one MiB."""

    def __init__(self, *, dies_in_the_middle: bool) -> None:
        self._chunks = [CONTENT[: 1 << 20]] * 4
        self._dies_in_the_middle = dies_in_the_middle

    def read(self, size: int) -> bytes:
        if self._dies_in_the_middle and len(self._chunks) == 2:
            die()
        return self._chunks.pop() if self._chunks else b""
