"""The comparison of engines runs from end to end, on the engines that are always installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from scripts.bench.worker import recall_of
from scripts.bench.workload import NEIGHBOURS, SELECTIONS, Workload, leaves_below, make

ROOT = Path(__file__).parents[2]


def test_two_engines_are_compared(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "scripts.bench_vectors", "--count", "3000", "--dimension", "32"]
    done = subprocess.run(
        [*command, "--load-s", "0.2", "--engines", "ours,flat", "--json", str(figures), "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ours, flat = json.loads(figures.read_text())["results"]
    assert "### 3,000 x 32" in done.stdout
    assert flat["recall"] == dict.fromkeys(SELECTIONS, 1.0)
    assert min(ours["recall"].values()) > 0.9
    for each in (ours, flat):
        assert not each["failed"]
        assert each["disk"] >= 3000 * 32
        assert each["per_s"]["8"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_the_workload_is_seeded_and_its_answers_are_exact(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, 2000, 16, seed=3)
        made.append(Workload.open(tmp_path / name))
    first, second = made
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_allclose(np.linalg.norm(first.vectors, axis=1), 1, atol=1e-5)
    folders = np.array(first.folders)
    for selection, folder in SELECTIONS.items():
        eligible = np.flatnonzero(np.isin(folders, leaves_below(folder))) if folder else np.arange(2000)
        best = eligible[np.argsort(-(first.queries @ first.vectors[eligible].T), axis=1)[:, :NEIGHBOURS]]
        for found, expected in zip(first.truth[selection], best, strict=True):
            assert recall_of([int(row) for row in expected], found) == 1


def test_of_few_rows_all_are_wanted() -> None:
    assert recall_of([4, 5], [5, 4, -1, -1]) == 1
    assert recall_of([4, 6], [5, 4, -1, -1]) == 0.5
