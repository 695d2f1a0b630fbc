"""The benchmark of the service starts real services, sends them searches and prints a table."""

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.bench_service import Way, main, table, texts


@dataclass(frozen=True)
class Infinity:
    address: str
    texts: list[str]
    """The texts that it was sent."""


@pytest.fixture
def infinity() -> Iterator[Infinity]:
    """A server that takes texts as infinity does."""
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
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Infinity(f"http://127.0.0.1:{server.server_port}", texts)
        server.shutdown()
        thread.join()


def test_services_are_asked_by_one_client_and_by_many(
    tmp_path: Path, infinity: Infinity, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("STORAGE_URL", "MODEL", "BATCH_MAX_QUEUE"):
        monkeypatch.setenv(name, "")  # the benchmark sets them; afterwards they are as they were
    main(model="demo", count=300, clients=3, rounds=1, seconds=0.05, infinity=infinity.address, precision=["fp32"])
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("| ")]
    assert [(*row[:2], int(row[2])) for row in rows if "clients" not in row] == [
        ("in process, no HTTP", "fp32", 1), ("ours", "fp32", 1), ("ours", "fp32", 3), ("batching off", "fp32", 1),
        ("batching off", "fp32", 3), ("infinity, no search", "", 1), ("infinity, no search", "", 3),
        ("ours, asked before", "fp32", 1), ("ours, asked before", "fp32", 3),
        ("hybrid", "fp32", 1), ("hybrid", "fp32", 3),
        ("composed", "fp32", 1), ("composed", "fp32", 3), ("composed, explained", "fp32", 1),
        ("composed, explained", "fp32", 3),
    ]  # fmt: skip
    assert all(float(row[3]) > 0 and 0 < float(row[4]) <= float(row[5]) for row in rows if "clients" not in row)
    assert "PRECISION=auto takes " in printed
    assert len(set(infinity.texts)) == len(infinity.texts) > 3
    assert "Memory of the service in fp32: its own " in printed
    assert not list(tmp_path.glob("image2search*"))


def test_the_table_compares_each_arithmetic_with_the_first() -> None:
    ways = [Way("ours", precision, 1, lambda seconds: (1.0, [1.0])) for precision in ("fp32", "int8")]
    for way, per_s in zip(ways, ([10.0, 20.0, 40.0], [30.0, 50.0, 80.0]), strict=True):
        way.per_s, way.ms = per_s, [[1.0]] * 3
    first, second = table(ways).splitlines()[2:]
    assert first == "| ours | fp32 | 1 | 20 | 1.00 | 1.00 |  |"
    assert second == "| ours | int8 | 1 | 50 | 1.00 | 1.00 | 2.50 |"


def test_no_two_queries_are_alike() -> None:
    stream = texts()
    drawn = [next(stream) for _ in range(5000)]
    assert len(set(drawn)) == len(drawn)
    assert all(2 <= len(text.split()) <= 14 for text in drawn)
