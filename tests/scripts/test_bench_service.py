"""The benchmark of the service starts real services, asks them, and prints what it saw."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_services_are_asked_by_one_client_and_by_many(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bench_service", "--model", "demo", "--count", "300", "--clients", "3"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.3"], cwd=ROOT, capture_output=True, text=True, timeout=200,
        env=os.environ | {"TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith(("| ours", "| batching"))]
    assert [(row[0].strip(), int(row[1])) for row in rows] == [
        ("ours", 1), ("ours", 3), ("batching off", 1), ("batching off", 3), ("ours, asked before", 1),
        ("ours, asked before", 3),
    ]  # fmt: skip
    assert all(float(row[2]) > 0 and 0 < float(row[3]) <= float(row[4]) for row in rows)
    assert "| in process, no HTTP | 1 |" in done.stdout
    assert "Memory of the service: its own " in done.stdout
    assert not list(tmp_path.glob("image2search*"))
