"""The input of every engine: seeded rows in clusters, each in a folder, and queries with their exact answers.

Rows come from Gaussian clusters of different sizes in a few latent dimensions, rotated into the full space, with a
little noise in all dimensions. So their neighbours are as uneven as those of picture embeddings. The same seed gives
the same rows on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

CLUSTERS, LATENT = 2000, 64
SPREAD, NOISE = 0.6, 0.15
"""SPREAD: of a cluster in the latent dimensions. NOISE: its length as a share of a row's latent length."""

NEIGHBOURS = 10
QUERIES = 100
"""The default number of queries for tuning, and again for measuring."""

BLOCK = 50_000

FOLDERS = ("all", "all/tenth", "all/tenth/hundredth", "all/tenth/hundredth/thousandth", "all/together")
"""A row lies in one of them and in its parents."""

SELECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "no filter": "",
        "100 %": FOLDERS[0],
        "10 %": FOLDERS[1],
        "1 %": FOLDERS[2],
        "0.1 %": FOLDERS[3],
        "1 % together": FOLDERS[4],
    }
)
"""The folder to search in. `together` holds whole clusters; the others hold random rows of the rest."""

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Workload:
    """Mapped arrays in a folder. A row's number is its id."""

    vectors: Rows
    """(N, D), unit length."""
    codes: NDArray[np.int8]
    """(N,) indices into FOLDERS."""
    queries: Rows
    """(2 x queries, D): by turns near queries (made like rows) and far queries (between two of those)."""
    truth: Mapping[str, Numbers]
    """For each selection (2 x queries, NEIGHBOURS) ids; -1 if there are no more."""

    @property
    def folders(self) -> list[str]:
        """(N,) folder names."""
        return np.array(FOLDERS, object)[self.codes].tolist()

    @classmethod
    def open(cls, folder: Path) -> "Workload":
        """Open the files that `make` wrote."""
        truth = np.load(folder / "truth.npy")
        return cls(
            np.load(folder / "vectors.npy", mmap_mode="r"),
            np.load(folder / "codes.npy"),
            np.load(folder / "queries.npy"),
            dict(zip(SELECTIONS, truth, strict=True)),
        )


def leaves_below(folder: str) -> list[str]:
    """The entries of FOLDERS in or below `folder`; an empty list for everything."""
    return [leaf for leaf in FOLDERS if leaf == folder or leaf.startswith(folder + "/")] if folder else []


def make(folder: Path, count: int, dimension: int, seed: int, queries: int = QUERIES) -> None:
    """Write a workload that `Workload.open` reads."""
    clusters = Clusters(dimension, seed)
    codes, rng = np.empty(count, np.int8), np.random.default_rng(seed + 1)
    shape = (count, dimension)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.dtype(np.float32), shape)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        vectors[start:end], of_rows = clusters.draw(end - start, rng)
        chance = rng.random(end - start)
        nested = (chance < 0.1) * 1 + (chance < 0.01) * 1 + (chance < 0.001) * 1
        codes[start:end] = np.where(np.isin(of_rows, clusters.together), len(FOLDERS) - 1, nested)
    vectors.flush()
    near, _ = clusters.draw(2 * queries, np.random.default_rng(seed + 2))
    pairs, _ = clusters.draw(4 * queries, np.random.default_rng(seed + 3))
    far = _unit(pairs[0::2] + pairs[1::2])
    asked = np.stack([near, far], 1).reshape(-1, dimension)[: 2 * queries]
    np.save(folder / "codes.npy", codes)
    np.save(folder / "queries.npy", asked)
    np.save(folder / "truth.npy", np.stack(_exact_answers(vectors, codes, asked)))


class Clusters:
    """The clusters from which rows are drawn."""

    def __init__(self, dimension: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        latent = min(LATENT, dimension)
        self._dimension = dimension
        self._basis = np.linalg.qr(rng.standard_normal((dimension, latent)))[0].astype(np.float32)
        self._centres = rng.standard_normal((CLUSTERS, latent)).astype(np.float32)
        weights = rng.pareto(1.5, CLUSTERS) + 0.2
        self._weights = weights / weights.sum()
        middling = np.argsort(np.abs(self._weights - 0.002))
        self.together = middling[: int(np.searchsorted(np.cumsum(self._weights[middling]), 0.01)) or 1]
        """The clusters of the folder `together`: together they have about 1 % of all rows."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Rows, Numbers]:
        """((N, D) unit rows, (N,) the cluster of each)."""
        of_rows = rng.choice(CLUSTERS, count, p=self._weights)
        latent = self._centres.shape[1]
        inner = self._centres[of_rows] + np.float32(SPREAD) * rng.standard_normal((count, latent), np.float32)
        outer = rng.standard_normal((count, self._dimension), np.float32)
        return _unit(inner @ self._basis.T + outer * np.float32(NOISE * (latent / self._dimension) ** 0.5)), of_rows


def _unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _exact_answers(vectors: Rows, codes: NDArray[np.int8], queries: Rows) -> list[Numbers]:
    """For each selection the best rows of each query, found by comparing it with every row."""
    wanted = [_codes_below(folder) for folder in SELECTIONS.values()]
    scores = [np.full((len(queries), NEIGHBOURS), -np.inf, np.float32) for _ in wanted]
    answers = [np.full((len(queries), NEIGHBOURS), -1) for _ in wanted]
    for start in range(0, len(vectors), BLOCK):
        block = queries @ vectors[start : start + BLOCK].T
        for number, of_selection in enumerate(wanted):
            places = np.flatnonzero(np.isin(codes[start : start + BLOCK], of_selection))
            part = block if number < 2 else block[:, places]  # the first two are everything
            if part.shape[1] > NEIGHBOURS:
                top = np.argpartition(-part, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
                part, found = np.take_along_axis(part, top, 1), places[top]
            else:
                found = np.broadcast_to(places, part.shape)
            both, ids = np.hstack([scores[number], part]), np.hstack([answers[number], found + start])
            order = np.argsort(-both, axis=1, kind="stable")[:, :NEIGHBOURS]
            scores[number], answers[number] = np.take_along_axis(both, order, 1), np.take_along_axis(ids, order, 1)
    return answers


def _codes_below(folder: str) -> list[int]:
    return [FOLDERS.index(leaf) for leaf in leaves_below(folder) or FOLDERS]
