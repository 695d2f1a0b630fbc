"""Fewer hubs: pictures that are near to every text come first less often.

Nearest Neighbor Normalization (arXiv:2410.24114): from the cosine of each picture a share of its nearness to the bank
is taken off before the pictures are ranked. More pictures are fetched than asked for, so that others can move up.
Whether that finds more depends on the model and the library, so the library's own captions are asked first
(`examine`): each should find its picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.models.bank import Bank
from app.search.relevance.scale import Floats
from app.types import Ids, Vectors

WEIGHT: Final = 0.5
"""The share that is taken off. NNN finds 0.25 to 0.75 best for CLIP models."""

FETCHED: Final = 4
"""Pictures that are ranked anew, for each one asked for."""

LEAST_CAPTIONS: Final = 100
"""Fewer captions say nothing about so small a gain."""

LEAST_GAIN: Final = 0.01
"""By which the mean of R@1 and R@10 has to grow."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The shares of captions that find their own picture, as the first or among the first ten."""

    captions: int
    plain: tuple[float, float]
    """R@1 and R@10 by cosine."""
    corrected: tuple[float, float]

    @property
    def gains(self) -> bool:
        """Whether the correction is worth it."""
        return self.captions >= LEAST_CAPTIONS and sum(self.corrected) - sum(self.plain) >= 2 * LEAST_GAIN


def corrected(scores: Floats, near: Floats, weight: float = WEIGHT) -> Floats:
    """The cosines (K,) of pictures whose nearness to the bank (`bank_near`) is (K,), as they are to be ranked."""
    return np.asarray(scores - weight * near, np.float64)


def examine(
    captions: Vectors,
    rows: Ids,
    bank: Bank,
    nearest_rows: Callable[[Vectors, int], list[list[tuple[int, float]]]],
    vectors_of: Callable[[Sequence[int]], Vectors],
) -> Examination:
    """Let captions (N, D) look for their own pictures `rows` (N,). The functions are those of `View`.

    Raises VectorStoreUnavailable.
    """
    found = nearest_rows(captions, 10 * FETCHED)
    seen = sorted({row for hits in found for row, _ in hits})
    near = dict(zip(seen, bank.measure(vectors_of(seen))[:, 1].tolist(), strict=True))
    plain = [_place([row for row, _ in hits], own) for hits, own in zip(found, rows.tolist(), strict=True)]
    ranked = [_place(_ranked(hits, near), own) for hits, own in zip(found, rows.tolist(), strict=True)]
    return Examination(len(captions), _recall(plain), _recall(ranked))


def _ranked(hits: Sequence[tuple[int, float]], near: dict[int, float]) -> list[int]:
    scores = corrected(np.array([score for _, score in hits]), np.array([near[row] for row, _ in hits]))
    return [hits[place][0] for place in np.argsort(-scores, kind="stable").tolist()]


def _place(rows: Sequence[int], own: int) -> int:
    """Where the own picture stands, from 0; far behind if it was not found."""
    return rows.index(own) if own in rows else len(rows) + 10


def _recall(places: Sequence[int]) -> tuple[float, float]:
    where = np.array(places)
    return (float((where < 1).mean()), float((where < 10).mean())) if len(where) else (0.0, 0.0)
