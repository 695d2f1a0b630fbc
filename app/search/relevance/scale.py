"""What a similarity is worth in one library: from the cosine of a query and a picture to a relevance of 0 to 1.

A picture's nearness is the cosine on the picture's own scale: 0 is as near as the yardstick's average, 1 as near as
what is nearest to it. The yardstick is the bank of texts for a text, and a sample of the library for a picture. A text
has a credit besides (`TextCredit`): broad words are less near to the pictures that they fit than narrow ones are. The
relevance is a sigmoid of nearness and credit. Its two parameters are fitted to pairs that need no labels:

- a text of the bank and a picture to which no other one is nearer, or a picture and the one that is nearest to it: they
  fit;
- a text, or a picture, and the nearest of those pictures to which many others are nearer: they do not fit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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

CROWD: Final = 0.9
"""The nearness that a tenth of the library has to a text is counted: a broad word is fairly near to many pictures."""

CROWD_WEIGHT: Final = 0.7
KNOWN_WEIGHT: Final = 0.4
"""Of both parts of a text's credit, chosen with `scripts.bench_relevance` (docs/relevance.md says on what)."""

KNOWN_STEP: Final = 8
NEAREST_TEXTS: Final = 4
"""How well a text is known is measured at every eighth text of the bank, by the four nearest of them."""

SAME_TEXT: Final = 0.999
"""Cosine from which on a text of the bank is the text itself."""

MIDDLE_OF_TEXTS: Final = 0.4
MIDDLE_OF_PICTURES: Final = 0.5
"""Where between pairs that do not fit and pairs that do the relevance is 0.5. The nearest of thousands of texts is
nearer to a picture than what people ask for."""

ASKED: Final = 500
"""Pictures of the sample that each query is compared with. For more than 500 numbers numpy gives the GIL away, and
waits for it afterwards."""

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
    credit: float = 0.0
    """What is added to the nearness of every picture."""


@dataclass(frozen=True, eq=False)
class TextCredit:
    """What a text is credited with, compared with the texts of the bank: for being broad, and for being known.

    It is known where the texts that are nearest to it are near: a model puts words that it has seldom seen apart.
    """

    standings: Floats
    """(S, 2) of the pictures that are asked, against the bank."""
    usual_crowd: float
    usual_known: float
    trust: float
    """0 to 1, less in small libraries."""

    @cached_property
    def _means_and_scales(self) -> tuple[Floats, Floats]:
        mean, near = self.standings[:, 0], self.standings[:, 1]
        return mean.copy(), 1 / np.maximum(near - mean, LEAST_WIDTH)

    def of(self, scores: Vectors, shift: float, similarities: Vectors) -> float:
        """Of a text, by its cosines to the pictures (S,), of which `shift` is taken off, and to `known_texts`."""
        means, scales = self._means_and_scales
        return float(self.sum(_crowd((scores - (means + shift)) * scales), _known(similarities)))

    def sum(self, crowd: Floats, known: Floats) -> Floats:
        """Of the parts of one text or of several."""
        parts = CROWD_WEIGHT * (crowd - self.usual_crowd) + KNOWN_WEIGHT * (known - self.usual_known)
        return np.asarray(self.trust * parts)


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
    credit: TextCredit | None = None
    known_texts: Vectors | None = None
    """(T + 1, D) by which a text is known, where it is credited: texts of the bank, and their mean."""

    @cached_property
    def _asked(self) -> Vectors:
        """(A, D) pictures, then texts: one product is faster than two."""
        asked = self.sample[:ASKED]
        return asked if self.known_texts is None else np.concatenate([asked, self.known_texts])

    def spread(self, query: Vectors) -> Spread:
        """How the library lies around a query (D,). This is what an answer costs: 0.1 ms for vectors of 512."""
        count = min(ASKED, len(self.sample))
        if count < LEAST_SAMPLE:
            return Spread(self.background, 0.0)
        near = self._asked @ query
        far, middle = near[:count], count // 2
        median = float(np.partition(far, middle)[middle])
        deviation = 1.4826 * float(np.partition(np.abs(far - median), middle)[middle])
        credit = self.credit.of(far, self._shift(median), near[count:]) if self.credit else 0.0
        return Spread(median, deviation, credit)

    def _shift(self, median: float) -> float:
        return self.share * (median - self.background)

    def relevance(self, score: float, standing: Sequence[float], spread: Spread) -> float:
        """Of a picture with this cosine and standing (mean, nearest) to a query with this spread."""
        mean, near = standing
        nearness = (score - self._shift(spread.median) - mean) / max(near - mean, LEAST_WIDTH)
        return self.line.relevance(nearness + spread.credit)


def nearness(scores: Vectors | Floats, standings: Floats) -> Floats:
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
    trust = len(sample) / (len(sample) + TRUSTED)
    share = TEXT_SHARE * trust
    background = float(medians.mean())
    if not len(sample):
        return Scale(sample, USUAL_FOR_TEXTS, background, share)
    standings = np.asarray(bank.measure(sample), np.float64)
    near = nearness((similarities - share * (medians - background)).T, standings)
    known_texts = _with_mean(bank.vectors[::KNOWN_STEP])
    crowds, knowns = _crowd(near[:, :ASKED]), _known(bank.vectors @ known_texts.T)
    credit = TextCredit(standings[:ASKED], float(np.median(crowds)), float(np.median(knowns)), trust)
    near += credit.sum(crowds, knowns)[:, None]
    fitted = _fit(near.max(axis=0), near, similarities.T, TEXTS_SHARE, MIDDLE_OF_TEXTS) or USUAL_FOR_TEXTS
    return Scale(sample, fitted.mixed(USUAL_FOR_TEXTS, len(sample)), background, share, credit, known_texts)


def _with_mean(texts: Vectors) -> Vectors:
    return np.concatenate([texts, texts.mean(axis=0, keepdims=True)])


def _crowd(near: Floats) -> Floats:
    """(...) what a tenth of the pictures reach, of the nearness (..., S) of texts to them."""
    place = int(CROWD * (near.shape[-1] - 1))
    return np.asarray(np.partition(near, place)[..., place])


def _known(similarities: Vectors) -> Floats:
    """(...) how near texts are to the nearest of `known_texts`, by their cosines (..., T + 1).

    0: as near as to the average one, 1: as near as to themselves. A text is no neighbour of its own.
    """
    others, means = similarities[..., :-1], similarities[..., -1]
    count = min(NEAREST_TEXTS + 1, others.shape[-1])
    nearest = np.partition(others, -count)[..., -count:]
    nearest = np.where(nearest > SAME_TEXT, -1, nearest)
    mean = (nearest.sum(axis=-1) - nearest.min(axis=-1)) / max(count - 1, 1)
    return np.asarray((mean - means) / np.maximum(1 - means, LEAST_WIDTH), np.float64)


def scale_for_pictures(sample: Vectors) -> Scale:
    """Fitted to a sample (S, D) of the library alone."""
    if len(sample) < 2:
        return Scale(sample, USUAL_FOR_PICTURES, 0.0, 0.0)
    similarities = _without_itself(sample @ sample.T)
    near = np.nan_to_num(nearness(similarities, standings_among(sample, sample)), nan=-np.inf)
    nearest = near.max(axis=1)
    fitted = (
        _fit(nearest, near, np.nan_to_num(similarities, nan=-1.0), PICTURES_SHARE, MIDDLE_OF_PICTURES)
        or USUAL_FOR_PICTURES
    )
    return Scale(sample, fitted.mixed(USUAL_FOR_PICTURES, len(sample)), 0.0, 0.0)


def _without_itself(similarities: Vectors) -> Floats:
    """The similarities, with NaN for a picture and itself, or its equal."""
    return np.where(similarities > 1 - 1e-5, np.nan, similarities.astype(np.float64))


def _fit(fitting: Floats, near: Floats, similarities: Floats, share: float, middle: float) -> Line | None:
    """The sigmoid that tells `fitting` pairs from others. `near` and `similarities` are (items, pictures).

    A picture to which this `share` of the items is nearer does not fit an item.
    """
    items = len(near)
    rank = max(1, min(items - 1, round(share * items)))
    bar = np.partition(similarities, -rank, axis=0)[-rank]  # of each picture: so near are its nearest items
    others = np.where(similarities < bar, near, -np.inf).max(axis=1)
    fitting, others = fitting[np.isfinite(fitting)], others[np.isfinite(others)]
    return _sigmoid_between(fitting, others, middle)


def _sigmoid_between(fitting: Floats, others: Floats, middle: float) -> Line | None:
    """Which of two normal distributions of one width a value is of; None where they are not apart. `middle`: as
    `MIDDLE_OF_TEXTS`.

    Medians stand for the means: a few pictures that are much nearer to an item than to all others don't shift them.
    """
    if len(fitting) < LEAST_PAIRS or len(others) < LEAST_PAIRS:
        return None
    upper, lower = float(np.median(fitting)), float(np.median(others))
    variance = float(fitting.var() + others.var()) / 2
    if upper <= lower or not variance:
        return None
    return Line(TEMPER * (upper - lower) / variance, lower + middle * (upper - lower))
