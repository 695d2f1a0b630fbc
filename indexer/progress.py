"""How a run shows its progress: a bar on a terminal, log lines elsewhere, JSON lines for a program that follows it.

The JSON lines go to stdout, one object a line, flushed at once. Everything else goes to stderr.
"""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from app.indexing.messages import PhaseProgress, to_line

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
JSON_EVERY_S = 0.2


class Progress(Protocol):
    """Is told of phases (`listing`, `indexing`, `publishing`) and of each item done in them. For one thread."""

    def phase(self, name: str, total: int | None = None) -> None:
        """A new phase begins. `total` is None while it is unknown."""
        ...

    def advance(self, count: int = 1) -> None: ...

    def close(self) -> None:
        """The run has ended, with success or without."""
        ...


class UnbrokenProgress:
    """Passes everything on until that fails (a closed pipe, a full disk), and nothing afterwards.

    A run must not fail because its progress can't be written.
    """

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._broken = False

    def phase(self, name: str, total: int | None = None) -> None:
        self._tell(lambda: self._inner.phase(name, total))

    def advance(self, count: int = 1) -> None:
        self._tell(lambda: self._inner.advance(count))

    def close(self) -> None:
        with suppress(OSError):
            self._inner.close()

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            tell()
        except OSError as error:
            self._broken = True
            log.warning(
                "The progress can't be written any more (%s); the run goes on without.", error.strerror or error
            )


class PatientConsole(Console):
    """Prints nothing more when its reader is gone; rich would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        discard(self.file)


class SilentProgress:
    """Shows nothing."""

    def phase(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def close(self) -> None:
        pass


class BarProgress:
    """A bar with count, rate and time left."""

    def __init__(self, console: Console) -> None:
        self._rich = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TextColumn("time left"),
            TimeRemainingColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def phase(self, name: str, total: int | None = None) -> None:
        self._rich.start()
        self._finish()
        self._task = self._rich.add_task(name, total=total)

    def advance(self, count: int = 1) -> None:
        if self._task is not None:
            self._rich.advance(self._task, count)

    def close(self) -> None:
        self._finish()
        self._rich.stop()

    def _finish(self) -> None:
        """Stop the phase's clock. If the total was unknown, the number of done items becomes the total."""
        if self._task is not None:
            task = self._rich.tasks[self._task]
            if task.total is None:
                done = max(1, task.completed)
                self._rich.update(self._task, total=done, completed=done)
            self._rich.stop_task(self._task)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:,.1f}/s" if task.completed and task.elapsed else "")


class LogProgress:
    """A log line when a phase begins, and every ten seconds while it lasts, with rate and time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._began_at = self._logged_at = clock()

    def phase(self, name: str, total: int | None = None) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began_at = self._logged_at = self._clock()
        log.info("%s%s", name, "" if total is None else f": {total:,} to do")

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.info("%s", self._line(self._done / (now - self._began_at)))

    def close(self) -> None:
        pass

    def _line(self, rate: float) -> str:
        if self._total is None:
            return f"{self._name}: {self._done:,} so far, {rate:,.1f}/s"
        left_s = (self._total - self._done) / rate
        return f"{self._name}: {self._done:,} of {self._total:,}, {rate:,.1f}/s, {_duration(left_s)} left"


class JsonProgress:
    """`{"phase", "done", "total"}` lines, at most five a second."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._done = self._told = 0
        self._told_at = 0.0

    def phase(self, name: str, total: int | None = None) -> None:
        self.close()
        self._name, self._total, self._done = name, total, 0
        self._tell()

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._clock() - self._told_at >= JSON_EVERY_S:
            self._tell()

    def close(self) -> None:
        if self._told != self._done:
            self._tell()

    def _tell(self) -> None:
        self._told, self._told_at = self._done, self._clock()
        write_line(self._out, to_line(PhaseProgress(self._name, self._done, self._total)))


def write_line(out: TextIO, line: bytes) -> None:
    """Write and flush, so that the reader sees the line at once."""
    out.write(line.decode())
    out.flush()


def discard(stream: IO[str]) -> None:
    """Point `stream` at the null device, so that the interpreter's last flush does not fail on a closed pipe."""
    with suppress(OSError), Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), stream.fileno())


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
