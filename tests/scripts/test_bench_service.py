"""The benchmark of the service starts real services, asks them, and prints what it saw."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Infinity:
    address: str
    texts: list[str]
    """What it was sent."""


@pytest.fixture
def infinity() -> Iterator[Infinity]:
    """Takes texts as infinity does."""
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, asked["modality"]) == ("/embeddings", "text")
            texts.extend(asked["input"])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """Not into the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Infinity(f"http://127.0.0.1:{server.server_port}", texts)
        server.shutdown()
        thread.join()


def test_services_are_asked_by_one_client_and_by_many(tmp_path: Path, infinity: Infinity) -> None:
    command = [sys.executable, "-m", "scripts.bench_service", "--model", "demo", "--count", "300", "--clients", "3"]
    command += ["--infinity", infinity.address]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.3"], cwd=ROOT, capture_output=True, text=True, timeout=200,
        env=os.environ | {"TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [
        line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ") and "clients" not in line
    ]
    assert [(row[0].strip(), int(row[1])) for row in rows] == [
        ("in process, no HTTP", 1), ("ours", 1), ("ours", 3), ("batching off", 1), ("batching off", 3),
        ("infinity, no search", 1), ("infinity, no search", 3), ("ours, asked before", 1), ("ours, asked before", 3),
    ]  # fmt: skip
    assert all(float(row[2]) > 0 and 0 < float(row[3]) <= float(row[4]) for row in rows)
    assert len(set(infinity.texts)) == len(infinity.texts) > 3
    assert "Memory of the service: its own " in done.stdout
    assert not list(tmp_path.glob("image2search*"))
