"""2-D coordinates of the library, and the arithmetic on them: principal components, alignment, places of new pictures.

Nothing here knows storage or views. The same input gives the same layout.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.errors import IndexCorrupt
from app.types import Ids, Vectors
from app.vectors.rows import locate

Kind: TypeAlias = Literal["pca", "umap"]

Points: TypeAlias = NDArray[np.float32]
"""(N, 2)."""

Mask: TypeAlias = NDArray[np.bool_]

ReadVectors: TypeAlias = Callable[[Ids], Vectors]
"""Row ids (N,) to vectors (N, D)."""

BLOCK: Final = 8192
"""Vectors that are read at once."""

SAMPLE: Final = 50_000
"""Vectors that the principal components are worked out from."""

NEIGHBOURS: Final = 5
"""Neighbours that say where a new picture goes."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Coordinates by row id. Immutable."""

    kind: Kind
    fingerprint: str
    """Of the model whose vectors were laid out."""
    rows: Ids
    """(N,) sorted."""
    contents: NDArray[np.uint64]
    """(N,) as `Columns.contents`: a picture with another content has another vector, so its coordinates are void."""
    points: Points
    """(N, 2). A layout of its own has its centre at 0 and a mean squared distance of 1 from there."""
    placed: Mask
    """(N,) whether the picture came later and was put beside its neighbours."""

    def __len__(self) -> int:
        return len(self.rows)

    def places_of(self, rows: Ids) -> tuple[Ids, Mask]:
        """The place of each row id, and whether it is here."""
        return locate(self.rows, np.arange(len(self.rows)), rows)

    def only(self, rows: Ids, contents: NDArray[np.uint64]) -> "Layout":
        """The part for pictures that are among `rows` (sorted) with the same content."""
        places, found = self.places_of(rows)
        found[found] = self.contents[places[found]] == contents[found]
        return self if found.sum() == len(self) else self._at(places[found])

    def _at(self, places: Ids) -> "Layout":
        return replace(
            self,
            rows=self.rows[places],
            contents=self.contents[places],
            points=self.points[places],
            placed=self.placed[places],
        )

    def joined(self, rows: Ids, contents: NDArray[np.uint64], points: Points) -> "Layout":
        """With these pictures, which were put beside their neighbours."""
        both = replace(
            self,
            rows=np.concatenate([self.rows, rows]),
            contents=np.concatenate([self.contents, contents]),
            points=np.concatenate([self.points, points]),
            placed=np.concatenate([self.placed, np.ones(len(rows), bool)]),
        )
        return both._at(np.argsort(both.rows))

    def aligned_to(self, old: "Layout") -> "Layout":
        """Turned, mirrored, scaled and moved so that the pictures of both lie as near as can be to where they lay."""
        places, found = old.places_of(self.rows)
        return replace(self, points=aligned(self.points, self.points[found], old.points[places[found]]))

    def to_bytes(self) -> bytes:
        file = io.BytesIO()
        np.savez(
            file,
            kind=np.array(self.kind),
            fingerprint=np.array(self.fingerprint),
            rows=self.rows,
            contents=self.contents,
            points=self.points,
            placed=self.placed,
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Layout":
        """Raises IndexCorrupt."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                layout = cls(
                    kind="umap" if str(file["kind"]) == "umap" else "pca",
                    fingerprint=str(file["fingerprint"]),
                    rows=file["rows"].astype(np.int64),
                    contents=file["contents"].astype(np.uint64),
                    points=file["points"].astype(np.float32),
                    placed=file["placed"].astype(bool),
                )
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise IndexCorrupt(f"It is no layout that this version can read ({error}).") from error
        count = len(layout.rows)
        is_whole = layout.points.shape == (count, 2) and len(layout.contents) == len(layout.placed) == count
        if not is_whole or not np.isfinite(layout.points).all() or (np.diff(layout.rows) <= 0).any():
            raise IndexCorrupt("It is no whole layout: its columns do not fit each other.")
        return layout


def principal_points(rows: Ids, read: ReadVectors) -> Points:
    """(N, 2) coordinates along the two principal components of the vectors, centred and scaled as `normalised`.

    `rows` are hashes and sorted, so the first ones are a random sample. Raises what `read` raises.
    """
    if not len(rows):
        return np.empty((0, 2), np.float32)
    mean, axes = _principal_axes(rows[:SAMPLE], read)
    return normalised(np.concatenate([(read(block) - mean) @ axes for block in blocks(rows)]))


def blocks(rows: Ids, size: int = BLOCK) -> Iterator[Ids]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _principal_axes(rows: Ids, read: ReadVectors) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean (D,) and the axes (D, 2) of the two greatest variances. The sign of an axis is made certain."""
    dimension = read(rows[:1]).shape[1]
    total, products = np.zeros(dimension), np.zeros((dimension, dimension))
    for block in blocks(rows):
        vectors = read(block)
        total += vectors.sum(axis=0, dtype=np.float64)
        products += vectors.T @ vectors
    mean: NDArray[np.float64] = total / len(rows)
    _, axes = np.linalg.eigh(products / len(rows) - np.outer(mean, mean))
    axes = axes[:, -1:-3:-1]
    greatest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return mean.astype(np.float32), (axes * np.where(greatest < 0, -1, 1)).astype(np.float32)


def normalised(points: Points) -> Points:
    """Centred, with a mean squared distance of 1 from the centre; all at 0 where all points are the same."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    spread = float(np.sqrt((centred**2).sum(axis=1).mean()))
    scaled: Points = (centred / spread if spread > 1e-5 else np.zeros_like(centred)).astype(np.float32)
    return scaled


def aligned(points: Points, common: Points, old: Points) -> Points:
    """`points` turned, mirrored, scaled and moved so that `common`, which are some of them, come nearest to `old`.

    Orthogonal Procrustes (Schönemann 1966), with the scale that makes both spread equally wide: the least-squares scale
    shrinks a layout that differs much from the old one, and again each time.
    """
    if not len(common):
        return points
    here, there = common.mean(axis=0, dtype=np.float64), old.mean(axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd((common - here).T @ (old - there))
    scale = 1.0
    if len(common) > 2:  # fewer say nothing about the spread of a layout
        spread, wanted = (float(np.linalg.norm(each)) for each in (common - here, old - there))
        scale = wanted / spread if spread > 1e-5 and wanted > 1e-5 else 1.0
    moved: Points = ((points - here) @ (left @ right) * scale + there).astype(np.float32)
    return moved


def between(neighbours: Points, distances: NDArray[np.float64]) -> Points:
    """(Q, 2) places for pictures whose neighbours lie at (Q, K, 2), at these distances between vectors (Q, K).

    The median of each coordinate, weighted by nearness: in the midst of most neighbours, and not in the empty space
    between two groups, where a mean would be. A twin's place is its twin's. Neighbours at infinity do not count.
    """
    weights = 1 / (distances**2 + 1e-6)
    found = np.empty((len(neighbours), 2), np.float32)
    for axis in range(2):
        order = np.argsort(neighbours[:, :, axis], axis=1, kind="stable")
        summed = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
        middle = (summed >= summed[:, -1:] / 2).argmax(axis=1)
        values = np.take_along_axis(neighbours[:, :, axis], order, axis=1)
        found[:, axis] = values[np.arange(len(values)), middle]
    return found
