"""What a similarity is worth in one library: from the cosine of a query and a picture to a relevance of 0 to 1.

A picture's nearness is the cosine on the picture's own scale: 0 is as near as the yardstick's average, 1 as near as
what is nearest to it. The yardstick is the bank of texts for a text, and a sample of the library for a picture. The
relevance is a sigmoid of the nearness. Its two parameters are fitted to pairs that need no labels:

- a text of the bank and a picture to which no other one is nearer, or a picture and the one that is nearest to it: they
  fit;
- a text, or a picture, and the nearest of those pictures to which many others are nearer: they do not fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.models.bank import Bank
from app.types import Vectors

Floats = NDArray[np.float64]

TEXT_SHARE: Final = 0.5
"""Of how much a text is nearer to all pictures than texts of the bank are, this share is taken off its cosines. Words
that a model does not know lie near everything. As in CSLS (arXiv:1710.04087), both sides count half."""

NEAREST_PICTURES: Final = 3
"""How many pictures of the sample are the nearest ones of a picture."""

TEXTS_SHARE: Final = 0.01
PICTURES_SHARE: Final = 0.03
"""A picture does not fit a text, or a picture, when this share of the yardstick is nearer to it. A library may have
many pictures of one thing; the bank has few texts about it."""

TEMPER: Final = 0.5
"""Pairs made so are told apart more easily than queries of people: this share of the fitted slope is right."""

ASKED: Final = 512
"""Pictures of the sample that each query is compared with."""

LEAST_SAMPLE: Final = 16
"""Smaller libraries have no spread that anything could stand out from."""

LEAST_WIDTH: Final = 1e-6
"""Of a picture's scale: the yardstick may be one point."""

MAX_EXPONENT: Final = 60.0

LEAST_PAIRS: Final = 2
"""Of each kind, to fit anything to."""

TRUSTED: Final = 64
"""Pictures in the sample from which on the fitted parameters count more than the usual ones."""


class Line(NamedTuple):
    """The sigmoid: relevance = 1 / (1 + exp(-slope * (nearness - middle)))."""

    slope: float
    middle: float

    def relevance(self, nearness: float) -> float:
        return 1 / (1 + math.exp(min(-self.slope * (nearness - self.middle), MAX_EXPONENT)))

    def mixed(self, usual: "Line", pictures: int) -> "Line":
        """Near the `usual` one where few pictures were there to fit it to."""
        share = pictures / (pictures + TRUSTED)
        slope = float(np.exp(share * np.log(self.slope) + (1 - share) * np.log(usual.slope)))
        return Line(slope, share * self.middle + (1 - share) * usual.middle)


class Spread(NamedTuple):
    """Of the cosines of a query to the library."""

    median: float
    deviation: float
    """1.4826 times the median absolute deviation: the standard deviation, were they normal. 0: not known."""


USUAL_FOR_TEXTS: Final = Line(10.0, 1.07)
USUAL_FOR_PICTURES: Final = Line(10.0, 0.85)


@dataclass(frozen=True, eq=False)
class Scale:
    """The relevance of pictures to queries of one kind, texts or pictures, in one library."""

    sample: Vectors
    """(S, D) pictures of the library, which say what is far from a query."""
    line: Line
    background: float
    """The median cosine to the sample, of a usual item of the yardstick."""
    share: float
    """Of the difference to `background`, what is taken off a query's cosines."""

    def spread(self, query: Vectors) -> Spread:
        """How the library lies around a query (D,). This is what an answer costs: 0.05 ms for vectors of 512."""
        far = self.sample[:ASKED] @ query
        if len(far) < LEAST_SAMPLE:
            return Spread(self.background, 0.0)
        middle = len(far) // 2
        median = np.partition(far, middle)[middle]
        return Spread(float(median), 1.4826 * float(np.partition(np.abs(far - median), middle)[middle]))

    def relevance(self, score: float, standing: Sequence[float], spread: Spread) -> float:
        """Of a picture with this cosine and standing (mean, nearest) to a query with this spread."""
        mean, near = standing
        shift = self.share * (spread.median - self.background)
        return self.line.relevance((score - shift - mean) / max(near - mean, LEAST_WIDTH))


def nearness(scores: Floats, standings: Floats) -> Floats:
    """The cosines (..., K) on the scales of the K pictures (K, 2)."""
    mean, near = standings[:, 0], standings[:, 1]
    return np.asarray((scores - mean) / np.maximum(near - mean, LEAST_WIDTH), np.float64)


def standings_among(pictures: Vectors, sample: Vectors) -> Floats:
    """(N, 2): the mean similarity of each picture (N, D) to the sample, and to the `NEAREST_PICTURES` in it.

    The same picture in the sample does not count. Both are 0 where the sample is empty.
    """
    if not len(sample):
        return np.zeros((len(pictures), 2))
    similarities = _without_itself(pictures @ sample.T)
    count = min(NEAREST_PICTURES, max(1, similarities.shape[1] - 1))
    nearest = np.partition(np.nan_to_num(similarities, nan=-1.0), -count, axis=1)[:, -count:]
    counted = np.isfinite(similarities)
    mean = np.where(counted, similarities, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    return np.stack([mean, nearest.mean(axis=1)], axis=1)


def scale_for_texts(sample: Vectors, bank: Bank) -> Scale:
    """Fitted to the bank and a sample (S, D) of the library."""
    similarities = np.asarray(sample @ bank.vectors.T, np.float64)
    medians = np.median(similarities, axis=0) if len(sample) else np.zeros(1)
    share = TEXT_SHARE * len(sample) / (len(sample) + TRUSTED)
    background = float(medians.mean())
    if not len(sample):
        return Scale(sample, USUAL_FOR_TEXTS, background, share)
    standings = np.asarray(bank.measure(sample), np.float64)
    near = nearness((similarities - share * (medians - background)).T, standings)
    fitted = _fit(near.max(axis=0), near, similarities.T, TEXTS_SHARE) or USUAL_FOR_TEXTS
    return Scale(sample, fitted.mixed(USUAL_FOR_TEXTS, len(sample)), background, share)


def scale_for_pictures(sample: Vectors) -> Scale:
    """Fitted to a sample (S, D) of the library alone."""
    if len(sample) < 2:
        return Scale(sample, USUAL_FOR_PICTURES, 0.0, 0.0)
    similarities = _without_itself(sample @ sample.T)
    near = np.nan_to_num(nearness(similarities, standings_among(sample, sample)), nan=-np.inf)
    nearest = near.max(axis=1)
    fitted = _fit(nearest, near, np.nan_to_num(similarities, nan=-1.0), PICTURES_SHARE) or USUAL_FOR_PICTURES
    return Scale(sample, fitted.mixed(USUAL_FOR_PICTURES, len(sample)), 0.0, 0.0)


def _without_itself(similarities: Vectors) -> Floats:
    """The similarities, with NaN for a picture and itself, or its equal."""
    return np.where(similarities > 1 - 1e-5, np.nan, similarities.astype(np.float64))


def _fit(fitting: Floats, near: Floats, similarities: Floats, share: float) -> Line | None:
    """The sigmoid that tells `fitting` pairs from others. `near` and `similarities` are (items, pictures).

    A picture to which this `share` of the items is nearer does not fit an item.
    """
    items = len(near)
    rank = max(1, min(items - 1, round(share * items)))
    bar = np.partition(similarities, -rank, axis=0)[-rank]  # of each picture: so near are its nearest items
    others = np.where(similarities < bar, near, -np.inf).max(axis=1)
    fitting, others = fitting[np.isfinite(fitting)], others[np.isfinite(others)]
    return _sigmoid_between(fitting, others)


def _sigmoid_between(fitting: Floats, others: Floats) -> Line | None:
    """Which of two normal distributions of one width a value is of; None where they are not apart.

    Medians stand for the means: a few pictures that are much nearer to an item than to all others don't shift them.
    """
    if len(fitting) < LEAST_PAIRS or len(others) < LEAST_PAIRS:
        return None
    upper, lower = float(np.median(fitting)), float(np.median(others))
    variance = float(fitting.var() + others.var()) / 2
    if upper <= lower or not variance:
        return None
    return Line(TEMPER * (upper - lower) / variance, (upper + lower) / 2)
