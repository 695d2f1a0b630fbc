"""A real standalone Milvus server for tests, from the PyPI wheel that carries one, in a venv of its own (Makefile).

Run as a script, with that venv's Python, this file is the server. Its ports within allow one on a machine, so all
workers of a test run share it: each holds the writing end of a pipe, and the server ends with the last of them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VENV = Path(__file__).parents[2] / ".venv-milvus"
READY = VENV / ".ready"
USERS, PORT = "users", "port"

if __name__ != "__main__":
    import errno
    import fcntl

    import pytest

    from tests.support.service import wait_until

    START_DEADLINE_S = 120.0

    @pytest.fixture(scope="session")
    def milvus_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
        """Port of a Milvus that lives as long as the test session. It takes ten seconds to start."""
        if not READY.exists():
            pytest.skip("no Milvus server to test with: run `make .venv-milvus/.ready`, as `make test` does")
        of_worker = tmp_path_factory.getbasetemp()
        folder = (of_worker.parent if "PYTEST_XDIST_WORKER" in os.environ else of_worker) / "milvus"
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            user = join(folder) or start(folder)
        yield int((folder / PORT).read_text())
        os.close(user)

    def join(folder: Path) -> int | None:
        """The writing end of a running server's pipe; None where there is none."""
        try:
            return os.open(folder / USERS, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENXIO):
                raise
            return None

    def start(folder: Path) -> int:
        for name in (USERS, PORT):
            (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / USERS)
        command = [str(VENV / "bin" / "python"), "-W", "ignore", __file__, str(folder)]
        with (folder / "server.log").open("w") as log:  # in a session of its own: it may outlive this worker
            subprocess.run(["setsid", "--fork", *command], stdout=log, stderr=log, check=True)
        joined: list[int | None] = []
        wait_until(lambda: joined.append(join(folder)) or joined[-1] is not None, START_DEADLINE_S)
        wait_until((folder / PORT).exists, START_DEADLINE_S)
        assert joined[-1] is not None
        return joined[-1]


def serve(folder: Path) -> None:
    """Serve on a free port until nobody holds the pipe any more, however the tests end."""
    from milvus import MilvusServer, MilvusServerConfig

    users = os.open(folder / USERS, os.O_RDONLY | os.O_NONBLOCK)
    server = MilvusServer(MilvusServerConfig(data_dir=str(folder / "data")))
    server.start()
    try:
        (folder / "starting").write_text(str(server.listen_port))
        (folder / "starting").rename(folder / PORT)
        os.set_blocking(users, True)
        while os.read(users, 1):
            pass
    finally:
        server.stop()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
