"""SIGTERM and SIGINT as a wish to stop: the first is noted, the second ends the process at once."""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType

NOTICE = b"Stopping: what is done is published first. A second signal ends the run at once.\n"

STDERR = 2

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Context manager, for the main thread. The handler does what is safe in one: it sets a flag and writes bytes."""

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

    def wait(self) -> None:
        """Block until a signal comes; at once if one has come."""
        os.read(self._read_end, 1)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.requested = True
        os.write(self._write_end, b".")
        with suppress(OSError):  # Whoever read it may be gone.
            os.write(STDERR, NOTICE)
