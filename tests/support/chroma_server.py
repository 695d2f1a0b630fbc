"""A real Chroma server for tests: `chroma run` over a temporary folder, one for all workers of a test run.

Run as a script, this file starts it and ends it when stdin closes.
"""

import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.service import wait_until
from tests.support.shared_server import shared_server

START_DEADLINE_S = 120.0


@pytest.fixture(scope="session")
def chroma_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of Chroma."""
    with shared_server(tmp_path_factory, "chroma", [sys.executable, "-W", "ignore", "-m", __name__]) as port:
        yield int(port)


@contextmanager
def serving_chroma(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder)]
    folder.mkdir(exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
        )
    try:
        wait_until(lambda: answers(port) or server.poll() is not None, START_DEADLINE_S)
        assert server.poll() is None, "chroma run did not start"
        yield server
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="chroma-") as made:
        chosen = free_port()
        with serving_chroma(Path(made, "data"), chosen):
            print(chosen, flush=True)
            sys.stdin.read()
