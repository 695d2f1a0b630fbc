"""UMAP in a process of its own, with low priority: `python -m app.library.map.umap FOLDER`.

Reads `vectors.npy` (N, D) and `start.npy` (N, 2) in the folder and writes `points.npy` (N, 2). It ends when its
standard input is closed, so that it does not outlive the service. Needs the extra `map`.
"""

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from app.library.map.layout import NEIGHBOURS, Points, between, blocks
from app.types import Vectors

UMAP_NEIGHBOURS: Final = 15
"""UMAP's own default: near pictures count more, far ones less, than with more of them."""

MIN_ROWS: Final = UMAP_NEIGHBOURS + 1

MAX_ROWS: Final = 200_000
"""Vectors that UMAP itself lays out: more take its memory (4 GB) and tens of minutes. The others are put beside
their neighbours."""

NICENESS: Final = 15

EXACT_ROWS: Final = 20_000
"""Up to this number each vector is compared with each one."""

EPOCHS: int | None = None
"""Steps of the descent; None: as many as UMAP finds right, 200 for many rows and 500 for few."""

SEED: Final = 1


def lay_out(vectors: Vectors, start: Points) -> Points:
    """(N, 2) UMAP coordinates of (N, D) unit rows in random order; `start` is where the descent begins."""
    fitted = vectors[:MAX_ROWS]
    index = _index_of(fitted)
    points = _umap(index, fitted, start[:MAX_ROWS])
    later = [
        between(points[found], distances)
        for block in blocks(np.arange(len(fitted), len(vectors)))
        for found, distances in [_search(index, vectors[block], NEIGHBOURS)]
    ]
    return np.concatenate([points, *later])


def _umap(index: faiss.Index, vectors: Vectors, start: Points) -> Points:
    """UMAP takes the neighbours from us, so it needs no vectors: it only counts the rows of its input."""
    import umap  # takes seconds, and only this process needs it

    found, distances = _search(index, vectors, UMAP_NEIGHBOURS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `transform` will not work, and that a seed means one thread
        model = umap.UMAP(
            n_neighbors=UMAP_NEIGHBOURS,
            init=start * np.float32(5),  # UMAP's own starts are about 10 wide
            n_epochs=EPOCHS,
            random_state=SEED,
            precomputed_knn=_self_first(found, distances),
        )
        points: Points = np.asarray(model.fit_transform(start), np.float32)
    return points


def _index_of(vectors: Vectors) -> faiss.Index:
    """Exact for few vectors. For more, an inverted file with about 0.95 recall: UMAP smooths over the rest."""
    dimension = vectors.shape[1]
    if len(vectors) <= EXACT_ROWS:
        index = faiss.IndexFlatIP(dimension)
    else:
        lists = int(2 * np.sqrt(len(vectors)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = 24
        index.train(np.ascontiguousarray(vectors[: 50 * lists]))
    for block in blocks(np.arange(len(vectors))):
        index.add(np.ascontiguousarray(vectors[block]))
    return index


def _search(index: faiss.Index, vectors: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The positions (Q, k) of the nearest and their Euclidean distances; with too few found, the last one again."""
    found, distances = [], []
    for block in blocks(np.arange(len(vectors))):
        scores, positions = index.search(np.ascontiguousarray(vectors[block]), k)
        missing = positions < 0
        distances.append(np.where(missing, np.inf, np.sqrt(np.maximum(0, 2 - 2 * scores.astype(np.float64)))))
        found.append(np.where(missing, positions[:, :1], positions))
    return np.concatenate(found), np.concatenate(distances)


def _self_first(
    found: NDArray[np.int64], distances: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """UMAP wants each row as its own first neighbour. Among equal rows, and in an inverted file, another may be."""
    own = np.arange(len(found))
    is_own = found == own[:, None]
    at = np.where(is_own.any(axis=1), is_own.argmax(axis=1), found.shape[1] - 1)
    found[own, at], distances[own, at] = found[:, 0], distances[:, 0]
    found[:, 0], distances[:, 0] = own, 0
    finite = np.where(
        np.isinf(distances), distances.max(where=np.isfinite(distances), initial=0, axis=1)[:, None], distances
    )
    return found.astype(np.int32), finite.astype(np.float32)


def _end_with_parent() -> None:
    """End as soon as the other end of standard input is gone."""
    os.read(0, 1)  # and not `sys.stdin`, whose lock Python wants for itself when it ends
    os._exit(1)


def main(folder: Path) -> None:
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    np.save(folder / "points.npy", lay_out(vectors, np.load(folder / "start.npy")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
