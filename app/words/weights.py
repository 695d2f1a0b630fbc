"""How much a picture is about a term: BM25F over name, folder, caption and tags."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.words.file import STEPS, Weights

K1: Final = 1.2
"""Saturation: a term that counts this much has half of the most possible weight (BM25's usual value)."""


class TextField(NamedTuple):
    """One of the texts of a picture."""

    boost: float
    """What one occurrence counts, in a text of the typical length."""
    typical_terms: float
    length_weight: float
    """BM25's b: 0 where long texts are as good as short ones, 1 where only the share of a term counts."""


NAME: Final = TextField(2.5, 3.0, 0.5)
FOLDER: Final = TextField(0.8, 4.0, 0.2)
CAPTION: Final = TextField(1.0, 6.0, 0.6)
TAGS: Final = TextField(2.0, 3.0, 0.3)
FIELDS: Final = (NAME, FOLDER, CAPTION, TAGS)


def occurrence_counts(field: TextField, lengths: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """(N,) what one occurrence counts in texts of these numbers of terms."""
    share = 1 - field.length_weight + field.length_weight * lengths / field.typical_terms
    counts: NDArray[np.float32] = (field.boost / share).astype(np.float32)
    return counts


def weights_of(counts: NDArray[np.float32]) -> Weights:
    """The stored weights of terms that count so much, all fields together: count / (K1 + count), 1 to 255."""
    steps: Weights = np.clip(np.rint(STEPS * (counts / (K1 + counts))), 1, STEPS).astype(np.uint8)
    return steps
