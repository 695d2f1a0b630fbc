"""One server for a whole test run, shared by its workers.

The first worker that needs the server starts it. The server's standard input is a named pipe, of which each worker
holds a writing end: so the server ends with the last worker, also when the tests are killed. It prints its address as
its first line.
"""

import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import unmeasured

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 120.0


@contextmanager
def shared_server(factory: pytest.TempPathFactory, name: str, command: Sequence[str | Path]) -> Iterator[str]:
    """The address that `command` prints, for as long as the context lasts. `name` is the same in every worker."""
    from tests.support.service import wait_until

    of_worker = factory.getbasetemp()
    folder = (of_worker.parent if "PYTEST_XDIST_WORKER" in os.environ else of_worker) / name
    folder.mkdir(exist_ok=True)
    output = folder / "stdout"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        user = _join(folder / "users") or _start(folder, command)
        wait_until(lambda: output.read_text().endswith("\n"), START_DEADLINE_S)
    try:
        yield output.read_text().splitlines()[0]
    finally:
        os.close(user)


def _join(pipe: Path) -> int | None:
    """The writing end of a running server's pipe; None if no server reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENXIO):
            raise
        return None


def _start(folder: Path, command: Sequence[str | Path]) -> int:
    pipe = folder / "users"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        # In a session of its own: it may outlive this worker, and Ctrl-C in the terminal must not end it first.
        server = subprocess.Popen(
            command, stdin=reader, stdout=out, stderr=err, cwd=ROOT, env=unmeasured(), start_new_session=True
        )
    server.returncode = 0  # it is not ours to wait for
    os.close(reader)
    return writer
