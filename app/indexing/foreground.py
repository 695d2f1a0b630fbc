"""An index run that the caller waits for: a process of its own, which shows its progress on our standard error."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.indexing.messages import Report, parse_report
from app.settings import Settings, environment_of

COMMAND = (sys.executable, "-m", "indexer", "--report", "-", "--no-fit")


def run_indexer(settings: Settings, *options: str) -> Report:
    """The report of the run.

    Raises CalledProcessError when it fails; the indexer has said why on standard error. Raises KeyboardInterrupt after
    Ctrl-C, when the indexer has published what was done by then.
    """
    environment = {**os.environ, **environment_of(settings)}
    process = subprocess.Popen([*COMMAND, *options], env=environment, stdout=subprocess.PIPE)  # noqa: S603
    with process, _left_to_the_indexer():
        printed, _ = process.communicate()
    if process.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    report = parse_report(printed)
    if report.interrupted:
        raise KeyboardInterrupt
    return report


@contextmanager
def _left_to_the_indexer() -> Iterator[None]:
    """Ctrl-C reaches both processes; this one then waits for the other's orderly end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
