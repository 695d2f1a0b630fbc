"""How texts and pictures lie in one library: what the terms of a composed query are centred and scaled by.

Texts and pictures lie apart (the modality gap, arXiv:2203.02053). So a cosine of 0.3 is much for a text and little for
a picture. The texts are those of the bank, the pictures a fixed sample of the library (`View.sample`).
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.types import Vectors

Floats = NDArray[np.float64]

Kind: TypeAlias = Literal["text", "picture"]
"""What a term is. Vectors of the caller's own count as pictures."""

LEAST: Final = 1e-6
"""Of deviations and floors: pictures may all be the same."""

LEAST_PICTURES: Final = 2
"""A single picture has no deviation."""


@dataclass(frozen=True, eq=False)
class Modality:
    """The terms of one kind against the pictures of the library."""

    mean: Floats
    """(D,) of the vectors of this kind."""
    deviation: float
    """Of the cosines of one such term to the pictures: the root of the mean variance."""
    floor: float
    """How far below 0 the least similarity lies, both sides centred."""


@dataclass(frozen=True, eq=False)
class Modalities:
    """Both kinds of terms."""

    texts: Modality
    pictures: Modality

    def of(self, kind: Kind) -> Modality:
        return self.texts if kind == "text" else self.pictures


def measure(sample: Vectors, texts: Vectors) -> Modalities | None:
    """From pictures (S, D) and texts (T, D); None where there are too few pictures."""
    if len(sample) < LEAST_PICTURES:
        return None
    pictures = np.asarray(sample, np.float64)
    mean = pictures.mean(axis=0)
    itself = np.eye(len(sample), dtype=bool)
    return Modalities(
        _modality(np.asarray(texts, np.float64), pictures, mean, None), _modality(pictures, pictures, mean, itself)
    )


def _modality(terms: Floats, pictures: Floats, middle: Floats, itself: NDArray[np.bool_] | None) -> Modality:
    """Of terms (T, D). `itself` (T, S) says which cosines are of a picture with itself: they don't count."""
    mean = terms.mean(axis=0)
    shifted = terms @ (pictures - middle).T
    if itself is not None:
        shifted = np.where(itself, np.nan, shifted)
    variances = np.nanvar(shifted, axis=1)
    floor = np.nanmin(shifted - mean @ (pictures - middle).T)
    return Modality(mean, max(float(np.sqrt(variances.mean())), LEAST), max(float(-floor), LEAST))
