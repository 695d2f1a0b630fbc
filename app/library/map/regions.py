"""Names for the regions of a map: its points in groups, and for each group the word that sets it apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from app.library.map.layout import Mask, Points, ReadVectors
from app.types import Ids, Vectors

MAX_REGIONS: Final = 40
"""More names than that hide the map."""

SAMPLE: Final = 200
"""Pictures of a region that its name is taken from."""

SLACK: Final = 0.3
"""Share of its best word's score that a region gives up for a word that no other region has. Where all such words are
taken, it shares its best one: a word that fits less would be wrong."""

SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the map."""

    name: str | None
    """What its pictures show; None until the words are embedded."""
    x: float
    y: float
    """The centre of its pictures."""
    count: int
    """How many pictures lie in it."""


def regions_of(
    rows: Ids,
    points: Points,
    read: ReadVectors,
    words: Sequence[str] = (),
    word_vectors: Vectors | None = None,
    *,
    settled: Mask | None = None,
) -> list[Region]:
    """The regions of these pictures and of no others, greatest first. Raises what `read` raises.

    `settled`: the pictures that say where the regions are; None: all. Others join them, so regions stay when they come.
    """
    if not len(rows):
        return []
    labels = _grouped(points, points if settled is None or not settled.any() else points[settled])
    counts = np.bincount(labels)
    found = [label for label in np.argsort(-counts, kind="stable").tolist() if counts[label]]
    members = [np.flatnonzero(labels == label) for label in found]
    names: list[str | None] = [None] * len(found)
    if word_vectors is not None:
        names = list(_names([read(rows[each[:SAMPLE]]) for each in members], words, word_vectors))
    centres = [points[each].mean(axis=0, dtype=np.float64) for each in members]
    return [
        Region(name, round(float(x), 4), round(float(y), 4), len(each))
        for name, (x, y), each in zip(names, centres, members, strict=True)
    ]


def _grouped(points: Points, settled: Points) -> NDArray[np.int64]:
    """(N,) the number of each point's region, by k-means in the plane over the settled ones."""
    distinct = len(np.unique(settled[:10_000], axis=0))
    regions = max(1, min(MAX_REGIONS, round(np.sqrt(len(settled) / 2)), distinct))
    if regions == 1:
        return np.zeros(len(points), np.int64)
    clusters = faiss.Kmeans(2, regions, niter=20, seed=SEED, min_points_per_centroid=1, max_points_per_centroid=1000)
    clusters.train(np.ascontiguousarray(settled))
    _, labels = clusters.index.search(np.ascontiguousarray(points), 1)
    return np.asarray(labels[:, 0], np.int64)


def _names(samples: Sequence[Vectors], words: Sequence[str], word_vectors: Vectors) -> Sequence[str]:
    """A word for each region: one that fits its mean vector better than it fits the other regions'.

    The comparison takes out what all pictures have in common, and words that a model finds near to everything.
    """
    centres = np.stack([sample.mean(axis=0) for sample in samples])
    lengths = np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    scores = centres / lengths @ word_vectors.T
    if len(scores) > 1:
        scores = scores - scores.mean(axis=0)
    best = scores.max(axis=1, keepdims=True)
    choices = sorted((-scores[at], *at) for at in zip(*np.nonzero(scores >= best - SLACK * np.abs(best)), strict=True))
    names: dict[int, int] = {}
    for _, region, word in choices:
        if region not in names and word not in names.values():
            names[region] = word
    return [words[names.get(region, int(row.argmax()))] for region, row in enumerate(scores)]
