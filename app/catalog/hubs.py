"""Fewer hubs: pictures that are near to every text come first less often.

Nearest Neighbor Normalization (arXiv:2410.24114): from the cosine of each picture a share of its nearness to the bank
is taken off, and each hundred of the nearest pictures is ranked anew by what is left. So a picture can move up from
behind those that are asked for, and its place is the same for every number of pictures and on every page.
Whether that finds more depends on the model and the library, so the library's own captions are asked first
(`examine`): each should find its picture. The pointer keeps the outcome, so all replicas rank alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.models.bank import BLOCK, Bank
from app.types import Ids, Vectors

WEIGHT: Final = 0.5
"""The share that is taken off. NNN finds 0.25 to 0.75 best for CLIP models."""

RANKED_TOGETHER: Final = 100
"""Pictures: the nearest ones, then the next ones, and so on."""

LEAST_CAPTIONS: Final = 100
"""Fewer captions say nothing about so small a gain."""

LEAST_GAIN: Final = 0.01
"""By which the mean of R@1 and R@10 has to grow."""

SURE: Final = 2.0
"""And by this many standard errors of the gain: a few captions may gain by chance."""

_DIGITS: Final = 6
"""Of scores that are compared. The last bits of a product depend on what else is multiplied with it."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The shares of captions that find their own picture, as the first or among the first ten."""

    captions: int
    plain: tuple[float, float]
    """R@1 and R@10 by cosine."""
    corrected: tuple[float, float]
    gains: bool
    """Whether the correction is worth it, as the version that examined decided."""


def depth_of(count: int) -> int:
    """How many of the nearest pictures have to be known to name the best `count`."""
    return -(-count // RANKED_TOGETHER) * RANKED_TOGETHER


def rank(scores: Sequence[float], near: Sequence[float], weight: float = WEIGHT) -> list[tuple[int, float]]:
    """The places of the nearest pictures as they rank, best first, each with its corrected score.

    `scores` (K,) are their cosines, falling; `near` (K,) is their nearness to the bank (`bank_near`).
    """
    corrected = np.round(np.asarray(scores, np.float64) - weight * np.asarray(near, np.float64), _DIGITS)
    together = np.arange(len(corrected)) // RANKED_TOGETHER
    order = np.lexsort((-corrected, together))
    return list(zip(order.tolist(), corrected[order].tolist(), strict=True))


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
    found = nearest_rows(captions, depth_of(10))
    seen = sorted({row for hits in found for row, _ in hits})
    near: dict[int, float] = {}
    for first in range(0, len(seen), BLOCK):
        some = seen[first : first + BLOCK]
        near.update(zip(some, bank.measure(vectors_of(some))[:, 1].tolist(), strict=True))
    plain = _hits([[row for row, _ in hits] for hits in found], rows)
    ranked = _hits([_ranked(hits, near) for hits in found], rows)
    return Examination(len(captions), _recall(plain), _recall(ranked), _gains(plain, ranked))


def _ranked(hits: Sequence[tuple[int, float]], near: dict[int, float]) -> list[int]:
    ranked = rank([score for _, score in hits], [near[row] for row, _ in hits])
    return [hits[place][0] for place, _ in ranked]


def _hits(found: Sequence[Sequence[int]], rows: Ids) -> NDArray[np.float64]:
    """(N, 2) 1 where the own picture is the first, and where it is among the first ten; else 0."""
    pairs = zip(found, rows.tolist(), strict=True)
    return np.array([(own in ranked[:1], own in ranked[:10]) for ranked, own in pairs], np.float64).reshape(-1, 2)


def _recall(hits: NDArray[np.float64]) -> tuple[float, float]:
    first, ten = hits.mean(axis=0).tolist() if len(hits) else (0.0, 0.0)
    return first, ten


def _gains(plain: NDArray[np.float64], ranked: NDArray[np.float64]) -> bool:
    """Whether enough captions find their pictures better: the paired difference against its standard error."""
    if len(plain) < LEAST_CAPTIONS:
        return False
    gains = (ranked - plain).mean(axis=1)
    error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
    return bool(gains.mean() >= LEAST_GAIN and gains.mean() >= SURE * error)
