"""The comparison of engines runs from start to end, with the engines that are always installed."""

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.worker import recall_of
from scripts.bench.workload import NEIGHBOURS, SELECTIONS, Workload, leaves_below, make
from scripts.bench_vectors import bench

ROOT = Path(__file__).parents[2]


def test_two_engines_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # each engine runs in a process of its own, `python -m scripts.bench.worker`
    figures = tmp_path / "figures.json"
    bench(count=[3000], dimension=32, engines="ours,flat", load_s=0.05, folder=tmp_path, out=figures)
    ours, flat = json.loads(figures.read_text())["results"]
    assert "### 3,000 x 32" in capsys.readouterr().out
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


def test_recall_among_few_rows_counts_those_that_exist() -> None:
    assert recall_of([4, 5], [5, 4, -1, -1]) == 1
    assert recall_of([4, 6], [5, 4, -1, -1]) == 0.5
