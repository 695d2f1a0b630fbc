"""Decoding in other processes, which can be killed: no picture can stall the service, crash it or fill its memory.

`Decoders` is the seam: `DecoderProcesses` for the service and the indexer, `InThisProcess` for workers that are
processes of their own already. Each process does one picture at a time. The memory that all of them use together is
bounded: a process asks for what its picture needs, and waits for its turn.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import LifoQueue
from typing import Final, Protocol, TypeVar, cast

from app.errors import ImageTooLarge, InvalidImage, Unavailable
from app.pictures.limits import FixedLimits, Limits
from app.pictures.worker import Done, Failed, Reserve

_Result = TypeVar("_Result")

ROOT: Final = Path(__file__).parents[2]
"""Where `app` can be imported from."""

PROGRAM: Final = "import sys; from app.pictures.worker import main; main(int(sys.argv[1]))"
"""Not `-m`, which would call the module `__main__`, and its messages too."""

WALL_FACTOR: Final = 20
"""A process that needs this times its processor time by the clock is stuck, and is killed."""

SMALL: Final = {
    **{"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "16777216"},
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
}
"""glibc's malloc then returns the memory of a large picture to the system as soon as the picture is done, and numpy
makes no buffers for threads that it does not need."""


class Decoders(Protocol):
    """Run functions that read one picture file. Thread-safe."""

    def run(self, work: Callable[[bytes, Limits], _Result], data: bytes, limits: Limits) -> _Result:
        """What `work(data, limits)` returns or raises. `work` and the result must be picklable.

        Raises ImageTooLarge when it takes too much time or memory, InvalidImage when it crashes the decoder, and
        Unavailable after `close`.
        """
        ...

    def close(self) -> None:
        """End the processes, also in the middle of a picture."""
        ...


class InThisProcess:
    """No processes: the caller's thread decodes."""

    def run(self, work: Callable[[bytes, Limits], _Result], data: bytes, limits: Limits) -> _Result:
        return work(data, limits)

    def close(self) -> None:
        """Nothing to end."""


class DecoderProcesses:
    """At most `count` processes, each started when all others are busy."""

    def __init__(self, count: int, max_memory_bytes: int) -> None:
        """`max_memory_bytes` is for all pictures that are being decoded at the same time."""
        self._idle: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(count):
            self._idle.put(None)  # may be started
        self._memory = MemoryBudget(max_memory_bytes)
        self._living: set[_Process] = set()
        self._changing = threading.Lock()
        self._is_closed = False
        self._at_exit = weakref.finalize(self, _kill_all, self._living)

    def run(self, work: Callable[[bytes, Limits], _Result], data: bytes, limits: Limits) -> _Result:
        """As `Decoders.run`. Blocks while all processes are busy."""
        process = self._idle.get()
        try:
            if process is None:
                process = self._start()
            return cast(_Result, process.run(work, data, FixedLimits.of(limits), self._memory))
        except _ProcessEnded as ended:
            raise self._translated(ended, limits) from None
        finally:
            self._idle.put(process if process and self._keep(process) else None)

    def close(self) -> None:
        with self._changing:
            self._is_closed = True
        self._at_exit()

    def _start(self) -> "_Process":
        with self._changing:
            if self._is_closed:
                raise _closed()
            process = _Process()
            self._living.add(process)
            return process

    def _keep(self, process: "_Process") -> bool:
        if process.is_alive:
            return True
        with self._changing:
            self._living.discard(process)
        return False

    def _translated(self, ended: "_ProcessEnded", limits: Limits) -> Exception:
        if self._is_closed:
            return _closed()
        if ended.signal_number == signal.SIGPROF:
            return ImageTooLarge(
                f"Decoding the picture takes more than {limits.timeout_s:g} seconds of processor time. Save it again "
                f"as an ordinary JPEG, or raise IMAGE_TIMEOUT_S."
            )
        if ended.signal_number == signal.SIGKILL:
            return Unavailable("The process that decoded the picture was killed, perhaps because memory ran out.")
        if ended.signal_number:
            return InvalidImage("The picture crashes its decoder. Save it again in another format.")
        return RuntimeError(f"The decoder process ended with exit code {ended.code}. See what it wrote to stderr.")


class MemoryBudget:
    """Hands out memory in the order in which it was asked for, so that a large picture has its turn too."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many wait for memory."""
        return len(self._queue)

    def acquire(self, size_bytes: int) -> None:
        """Wait until `size_bytes` are free. More than there are in total waits until nothing else is in use."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            self._changed.wait_for(lambda: self._queue[0] is turn and self._fits(size_bytes))
            self._queue.popleft()
            self._used += size_bytes
            self._changed.notify_all()

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self._used -= size_bytes
            self._changed.notify_all()

    def _fits(self, size_bytes: int) -> bool:
        return not self._used or self._used + size_bytes <= self._max_bytes


class _ProcessEnded(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
        self.signal_number = -code if code < 0 else 0


class _Process:
    """One process of `app.pictures.worker`. One thread at a time may use it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **SMALL, "PYTHONPATH": _python_path()},
            )
        self._pipe: Connection = Connection(ours.detach())
        self.is_alive = True

    def run(
        self, work: Callable[[bytes, Limits], object], data: bytes, limits: FixedLimits, memory: MemoryBudget
    ) -> object:
        """Raises what `work` raises, and _ProcessEnded."""
        try:
            with _held(memory) as hold:
                self._pipe.send_bytes(pickle.dumps((work, limits)))
                self._pipe.send_bytes(data)
                while isinstance(message := self._receive(WALL_FACTOR * limits.timeout_s), Reserve):
                    hold(message.size_bytes)
                    self._pipe.send_bytes(b"")
        except (EOFError, OSError):
            self.kill()
            raise _ProcessEnded(self._popen.returncode) from None
        if isinstance(message, Failed):
            raise message.error
        return message.result

    def kill(self) -> None:
        """End it. A thread that waits for it gets _ProcessEnded."""
        self.is_alive = False
        with suppress(ProcessLookupError):
            if self._popen.poll() is None:
                self._popen.kill()
        self._popen.wait()

    def _receive(self, timeout_s: float) -> Reserve | Done | Failed:
        """Raises EOFError when the process has ended."""
        if not self._pipe.poll(timeout_s):
            self._popen.send_signal(signal.SIGPROF)  # as if it had used up its processor time
        message: Reserve | Done | Failed = pickle.loads(self._pipe.recv_bytes())  # noqa: S301 - from our own process
        return message


@contextmanager
def _held(memory: MemoryBudget) -> Iterator[Callable[[int], None]]:
    """A function that exchanges what is held for another amount. Gives everything back at the end."""
    held = 0

    def hold(size_bytes: int) -> None:
        nonlocal held
        memory.release(held)  # first, or two pictures could wait for each other
        held = 0
        memory.acquire(size_bytes)
        held = size_bytes

    try:
        yield hold
    finally:
        memory.release(held)


def _kill_all(processes: set[_Process]) -> None:
    for process in list(processes):
        process.kill()


def _closed() -> Unavailable:
    return Unavailable("The program is stopping and reads no more pictures.")


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
