"""UMAP: in its process, with the real library; and what is given to it, with a stand-in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.library.map import umap as map_umap
from app.library.map.umap import UMAP_NEIGHBOURS, lay_out
from app.types import Vectors
from tests.support.service import DEADLINE_S

GROUPS = 4


def grouped(count: int) -> Vectors:
    """Vectors of four kinds in turn, the last ones copies of the first ones."""
    rng = np.random.default_rng(1)
    vectors = np.eye(8)[np.arange(count) % GROUPS] + 0.1 * rng.standard_normal((count, 8))
    vectors[-8:] = vectors[:8]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def start_of(count: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, 2)).astype(np.float32)


def nearest_kind(points: np.ndarray) -> np.ndarray:
    """For each point, the kind whose points have the nearest median."""
    kinds = np.arange(len(points)) % GROUPS
    centres = np.array([np.median(points[kinds == kind], axis=0) for kind in range(GROUPS)])
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)


def running(folder: Path, change: str) -> "subprocess.Popen[bytes]":
    """The process, without the low priority that would let it wait for all other tests; `change` comes before.

    UMAP runs as plain Python: to compile it takes 10 seconds of CPU, and `scripts/bench_map.py` does.
    """
    code = f"import pathlib, time; from app.library.map import umap as map_umap; map_umap.NICENESS = 0; {change}"
    code += f"; map_umap.main(pathlib.Path({str(folder)!r}))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@pytest.mark.long(7)
def test_the_process_parts_the_kinds_and_says_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", grouped(64))
    np.save(tmp_path / "start.npy", start_of(64))
    with running(tmp_path, "map_umap.EPOCHS = 10") as process:
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(DEADLINE_S)) == (b"", 0)
    points = np.load(tmp_path / "points.npy")
    assert points.shape == (64, 2)
    assert (nearest_kind(points) == np.arange(64) % GROUPS).all()


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", grouped(20))
    np.save(tmp_path / "start.npy", start_of(20))
    with running(tmp_path, f"map_umap.lay_out = lambda *_: time.sleep({DEADLINE_S})") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_S / 2) == 1


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """What UMAP was given; it returns its start."""
    options: dict[str, Any] = {}

    def umap(**given: Any) -> SimpleNamespace:
        options.update(given)
        return SimpleNamespace(fit_transform=lambda points: points)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=umap))
    return lambda: options


@pytest.mark.parametrize("exact_rows", [1000, 100])
def test_umap_gets_the_nearest_of_each_vector_itself_first(
    given: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(map_umap, "EXACT_ROWS", exact_rows)
    vectors, start = grouped(400), start_of(400)
    assert (lay_out(vectors, start) == start).all()
    found, distances = given()["precomputed_knn"]
    assert found.shape == distances.shape == (400, UMAP_NEIGHBOURS)
    assert found[:, 0].tolist() == list(range(400))
    assert (distances[:, 0] == 0).all()
    assert (found % GROUPS == np.arange(400)[:, None] % GROUPS).mean() > 0.99
    exact = np.linalg.norm(vectors[:, None] - vectors[found[:, 1:]][:, :, :].reshape(400, -1, 8), axis=2)
    assert distances[:, 1:] == pytest.approx(exact, abs=2e-3)
    assert given()["init"] == pytest.approx(start * 5)


def test_vectors_beyond_the_most_are_put_beside_their_neighbours(
    given: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_umap, "MAX_ROWS", 100)
    kinds = np.arange(140) % GROUPS
    start = np.column_stack([kinds * 10, kinds]).astype(np.float32)
    points = lay_out(grouped(140), start)
    assert len(given()["init"]) == 100
    assert points == pytest.approx(start)
