"""A real standalone Milvus for tests, from the PyPI wheel that carries one, in its own venv (Makefile).

Run as a script, with that venv's Python, this file is the server. Its internal ports allow one server on a machine.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

VENV = Path(__file__).parents[2] / ".venv-milvus"
READY = VENV / ".ready"
UNPACKED = VENV / "unpacked"
"""The server's programs, once they were unpacked: that takes six seconds."""

if __name__ != "__main__":
    import pytest

    from tests.support.shared_server import shared_server

    @pytest.fixture(scope="session")
    def milvus_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
        """The port of Milvus. It takes ten seconds to start."""
        if not READY.exists():
            pytest.skip("no Milvus server to test with: run `make .venv-milvus/.ready`, as `make test` does")
        command = [VENV / "bin" / "python", "-W", "ignore", __file__]
        with shared_server(tmp_path_factory, "milvus", command) as port:
            yield int(port)


def serve() -> None:
    """Serve on a free port until stdin closes."""
    from milvus import MilvusServer, MilvusServerConfig

    UNPACKED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="milvus-") as folder:
        Path(folder, "bin").symlink_to(UNPACKED)  # where the wheel puts them
        server = MilvusServer(MilvusServerConfig(data_dir=folder))
        server.start()
        try:
            print(server.listen_port, flush=True)
            sys.stdin.read()
        finally:
            server.stop()


if __name__ == "__main__":
    serve()
