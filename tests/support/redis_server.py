"""A real Redis on a free port of this machine. It can be killed and started again with what it wrote."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

PROGRAM = shutil.which("redis-server")
DEADLINE_S = 10.0


class RedisServer:
    """Writes every change to its append-only file before it answers."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        assert PROGRAM, "Redis is missing: apt-get install redis-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, *options, "--appendonly", "yes", "--appendfsync", "always"], stdout=log, stderr=log
            )
        ends = time.monotonic() + DEADLINE_S
        with redis.Redis(port=self.port) as client:
            while not _answers(client):
                assert self._process.poll() is None, (self._folder / "redis.log").read_text()
                assert time.monotonic() < ends, "Redis does not answer"
                time.sleep(0.01)

    def pause(self) -> None:
        """It keeps its connections and answers no more, as behind a broken network."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a crash: it writes nothing more."""
        if self._process:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_to_kill(tmp_path: Path) -> Iterator[RedisServer]:
    """One of the test's own."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()
