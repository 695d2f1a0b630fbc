"""How alike the vectors are that one model gives in two runtimes or two arithmetics, and what that is tried on."""

import statistics
from typing import Final

import numpy as np
from PIL import Image

from app.types import Vectors

TEXTS: Final = ("a photo of a dog", "red", "two children playing football in the park, black and white, at night", "")

NEIGHBOURS: Final = 10


def sample_pictures() -> list[Image.Image]:
    """Smooth and noisy pictures of several shapes."""
    random = np.random.default_rng(0)
    pictures = []
    for height, width in ((300, 400), (240, 135), (224, 224), (90, 200)):
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
        noise = random.integers(-20, 21, (height, width, 3))
        pictures.append(Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)))
    return pictures


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """(N,) between the rows of both."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: Vectors = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return values


def overlap_of(
    pictures: Vectors, pictures8: Vectors, queries: Vectors | None = None, queries8: Vectors | None = None
) -> float:
    """Mean share of the NEIGHBOURS nearest rows of each query that both versions name; pictures ask for others."""
    nearest = []
    for rows, asked in ((pictures, queries), (pictures8, queries8)):
        scores = (rows if asked is None else asked) @ rows.T
        if asked is None:
            np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argsort(-scores, axis=1)[:, :NEIGHBOURS])
    return statistics.fmean(len(np.intersect1d(*pair)) / NEIGHBOURS for pair in zip(*nearest, strict=True))
