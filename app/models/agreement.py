"""How much the vectors of one model agree between two runtimes or two arithmetics, and the inputs to try that on."""

import statistics
from typing import Final

import numpy as np
from PIL import Image

from app.types import Vectors

TEXTS: Final = ("a photo of a dog", "red", "two children playing football in the park, black and white, at night", "")

NEIGHBOURS: Final = 10


def sample_pictures() -> list[Image.Image]:
    """Smooth and noisy pictures of several shapes, the same in every call."""
    random = np.random.default_rng(0)
    pictures = []
    for height, width in ((300, 400), (240, 135), (224, 224), (90, 200)):
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
        noise = random.integers(-20, 21, (height, width, 3))
        pictures.append(Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)))
    return pictures


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """(N,) cosines between row i of `left` and row i of `right`; the rows need not have unit length."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: Vectors = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return values


def overlap_of(
    pictures: Vectors, pictures8: Vectors, queries: Vectors | None = None, queries8: Vectors | None = None
) -> float:
    """Mean share of the NEIGHBOURS nearest pictures of a query that both arithmetics find, 0 to 1.

    The names with an 8 hold the same vectors in the other arithmetic. Without `queries` each picture is a query for
    all other pictures.
    """
    nearest = []
    for rows, asked in ((pictures, queries), (pictures8, queries8)):
        scores = (rows if asked is None else asked) @ rows.T
        if asked is None:
            np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argsort(-scores, axis=1)[:, :NEIGHBOURS])
    return statistics.fmean(len(np.intersect1d(*pair)) / NEIGHBOURS for pair in zip(*nearest, strict=True))
