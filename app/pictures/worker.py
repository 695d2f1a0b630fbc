"""A process that decodes one picture after the other, within limits of memory and processor time.

`app.pictures.processes` starts it. Messages, each a block of bytes: in come a pickled function and a file; out go
pickled `Reserve`, which is answered by an empty block, and at the end one `Done` or `Failed`.

The kernel enforces both limits. A picture that takes more memory than it asked for gets a MemoryError. One that takes
too much processor time ends the process with SIGPROF, also in the middle of a library's C code.
"""

import pickle
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from app.errors import AppError, ImageTooLarge, first_line
from app.pictures.limits import ON_RESERVE, FixedLimits

HEADER_BYTES: Final = 64 << 20
"""Memory for reading a file's header, beside the file itself."""

SLACK: Final = 1.25
"""The kernel allows this times the memory that was asked for, because the need is an estimate."""

STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Reserve:
    """The picture needs this much memory."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    """What the function returned."""

    result: object


@dataclass(frozen=True, slots=True)
class Failed:
    """What the function raised."""

    error: Exception


def main(handle: int) -> None:
    """Serve the parent at the other end of the socket until it closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    parent: Connection = Connection(handle)
    with suppress(EOFError, ConnectionError):
        while True:
            work, limits = pickle.loads(parent.recv_bytes())  # noqa: S301 - from our own parent
            parent.send_bytes(pickle.dumps(_answer(work, parent.recv_bytes(), limits, parent)))


def _answer(
    work: Callable[[bytes, FixedLimits], object], data: bytes, limits: FixedLimits, parent: Connection
) -> Done | Failed:
    base = _data_bytes()
    _limit_memory(base, HEADER_BYTES + 2 * len(data))
    ON_RESERVE.set(partial(_reserve, parent, base, len(data)))
    signal.setitimer(signal.ITIMER_PROF, limits.timeout_s)
    try:
        return Done(work(data, limits))
    except AppError as error:
        return Failed(error.with_traceback(None))
    except MemoryError:
        return Failed(ImageTooLarge("The picture takes more memory than its size explains. Save it again as JPEG."))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return Failed(RuntimeError(f"{type(error).__name__}: {first_line(error)}"))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _limit_memory(0, resource.RLIM_INFINITY)


def _reserve(parent: Connection, base: int, file_bytes: int, size_bytes: int) -> None:
    parent.send_bytes(pickle.dumps(Reserve(size_bytes)))
    parent.recv_bytes()
    _limit_memory(base, HEADER_BYTES + 2 * file_bytes + int(SLACK * size_bytes))


def _data_bytes() -> int:
    """Private memory of this process: the size that RLIMIT_DATA bounds."""
    with suppress(OSError):
        return int(STATM.read_text().split()[5]) * resource.getpagesize()
    return 0


def _limit_memory(base: int, allowed: int) -> None:
    """Let the process have `allowed` bytes above `base`. Does nothing where the system does not say what it has."""
    if allowed == resource.RLIM_INFINITY or not base:
        allowed, base = resource.RLIM_INFINITY, 0
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError, OSError):  # a lower limit of the system holds already
        resource.setrlimit(resource.RLIMIT_DATA, (base + allowed, hard))
