"""SIGTERM and SIGINT ask a run to stop: the first one is noted, the second one ends the process at once."""

import os
import select
import signal
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Protocol

NOTICE = b"Stopping: what is done is published first. A second signal ends the run at once.\n"

STDERR = 2

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop(Protocol):
    """Tells whether a run is to stop."""

    def __call__(self) -> bool:
        """Whether a stop was requested."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait for a request to stop, at most `timeout_s`. Returns whether one has come."""
        ...


class NeverStop:
    """For runs that only end by themselves."""

    def __call__(self) -> bool:
        return False

    def wait(self, timeout_s: float) -> bool:
        time.sleep(timeout_s)
        return False


class StopSignal:
    """A `Stop` that signals request; a context manager, for the main thread.

    A signal handler must not take locks. This one sets a flag and writes to a pipe, on which `wait` polls.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        return self.requested

    def __enter__(self) -> "StopSignal":
        self._read_end, self._write_end = os.pipe()
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._read_end)
        os.close(self._write_end)

    def wait(self, timeout_s: float) -> bool:
        """As `Stop.wait`; returns as soon as a signal comes, from any thread."""
        poll = select.poll()
        poll.register(self._read_end, select.POLLIN)
        poll.poll(1000 * timeout_s)  # the byte stays in the pipe, so that every later call returns at once
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.requested = True
        os.write(self._write_end, b".")
        with suppress(OSError):  # stderr may be closed
            os.write(STDERR, NOTICE)
