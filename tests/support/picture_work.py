"""Functions that a decoder process runs in place of reading a picture. Few imports: the process makes them too."""

import os
import time
from pathlib import Path

from app.errors import InvalidImage
from app.pictures.limits import Limits, reserve


def count(data: bytes, limits: Limits) -> int:
    return len(data)


def process_id(data: bytes, limits: Limits) -> int:
    return os.getpid()


def refuse(data: bytes, limits: Limits) -> None:
    raise InvalidImage("not this one")


def fail(data: bytes, limits: Limits) -> None:
    raise KeyError("odd")


def spin(data: bytes, limits: Limits) -> None:
    while True:
        pass


def take_memory(data: bytes, limits: Limits) -> int:
    """Uses as many bytes as `data` says; asks for none."""
    return len(bytearray(int(data)))


def ask_and_take_memory(data: bytes, limits: Limits) -> int:
    reserve(int(data), limits)
    return take_memory(data, limits)


def die(data: bytes, limits: Limits) -> None:
    os.kill(os.getpid(), int(data))


def hold_memory(data: bytes, limits: Limits) -> float:
    """Asks for the memory limit, leaves a mark in the file `data`, and waits for the mark to go."""
    reserve(limits.max_memory_bytes, limits)
    mark = Path(os.fsdecode(data))
    mark.touch(exist_ok=False)  # fails where another has the memory
    ends = time.monotonic() + 0.05
    while time.monotonic() < ends:
        pass
    mark.unlink()
    return ends


def wait_for_the_end(data: bytes, limits: Limits) -> None:
    """Leaves a mark in the file `data` and never returns."""
    Path(os.fsdecode(data)).touch()
    time.sleep(600)
