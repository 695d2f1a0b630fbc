"""Several terms as one vector, and as one score: the algebra of composed queries (docs/queries.md has the formulas).

The sum of the terms' standardised cosines is linear in the picture. So it is one vector, and one exact search finds
the best pictures. The product, for pictures that have to fit all terms, is computed for the best candidates of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.search.modalities import Kind, Modalities
from app.types import Vectors

Floats = NDArray[np.float64]

LEAST_SHARE: Final = 1e-3
"""A minus term of which less than this share is orthogonal to the plus terms says the same as they do."""

HARRIS: Final = 0.4
"""Of the mean's power, taken off the product. For two terms it is BASIC's 0.1 (s + t)^2 (arXiv:2510.25387)."""


class VectorTerm(NamedTuple):
    """A term of a query as a vector."""

    kind: Kind
    vector: Vectors
    """(D,) float32, unit length."""
    weight: float
    """Negative for a minus term."""

    @property
    def order(self) -> tuple[str, bytes, float]:
        """By which terms are sorted, so that their order in the request changes no bit of a result."""
        return self.kind, self.vector.tobytes(), self.weight


@dataclass(frozen=True, eq=False)
class Composition:
    """The terms as one vector."""

    vector: Vectors
    """(D,) float32, unit length."""
    parts: Floats
    """(T, D) what each term adds to it, in the order of the terms. Their sum is `vector`."""

    def explain(self, pictures: Vectors) -> Floats:
        """(N, T) what each term adds to the cosine of each picture (N, D)."""
        explained: Floats = pictures.astype(np.float64) @ self.parts.T
        return explained


def compose(terms: Sequence[VectorTerm], modalities: Modalities | None) -> Composition:
    """The sum of the terms, each scaled by the deviation of its kind; without `modalities`, as they are.

    Of a minus term, only what is orthogonal to the plus terms is subtracted. Raises InvalidInput for a sum without a
    direction, and for a minus term that says the same as the plus terms.
    """
    if len(terms) == 1:
        return Composition(terms[0].vector, terms[0].vector[None].astype(np.float64))
    order = sorted(range(len(terms)), key=lambda place: terms[place].order)
    arranged = [terms[place] for place in order]
    directions = residuals(arranged, modalities)
    parts = np.stack(
        [
            each.weight * direction / (modalities.of(each.kind).deviation if modalities else 1.0)
            for each, direction in zip(arranged, directions, strict=True)
        ]
    )
    total = parts.sum(axis=0)
    length = float(np.linalg.norm(total))
    if length <= 1e-6 * float(np.linalg.norm(parts, axis=1).max()):
        raise InvalidInput("The terms cancel each other out: their sum has no direction. Change a weight, or a term.")
    placed = np.empty_like(parts)
    placed[order] = parts / length
    return Composition(np.asarray(total / length, np.float32), placed)


def residuals(terms: Sequence[VectorTerm], modalities: Modalities | None) -> list[Floats]:
    """(D,) for each term: a plus term as it is; of a centred minus term, what is orthogonal to the centred plus terms.

    Raises InvalidInput for a minus term of which nothing is left.
    """
    if all(each.weight > 0 for each in terms):
        return [each.vector.astype(np.float64) for each in terms]
    centred = [_centred(each, modalities) for each in terms]
    basis = _basis([vector for each, vector in zip(terms, centred, strict=True) if each.weight > 0])
    found: list[Floats] = []
    for each, vector in zip(terms, centred, strict=True):
        if each.weight > 0:
            found.append(each.vector.astype(np.float64))
            continue
        rest = vector - basis.T @ (basis @ vector)
        if np.linalg.norm(rest) <= LEAST_SHARE * np.linalg.norm(vector):
            raise InvalidInput("A minus term says the same as what is searched for. Take away something else.")
        found.append(rest)
    return found


def product(terms: Sequence[VectorTerm], modalities: Modalities, pictures: Vectors) -> Floats:
    """(N,) how well each picture (N, D) fits all terms: BASIC's product with Harris penalty (arXiv:2510.25387).

    Each centred similarity is shifted and divided by the floor of its kind: 0 is as bad as can be, 1 the average.
    """
    order = sorted(range(len(terms)), key=lambda place: terms[place].order)
    arranged = [terms[place] for place in order]
    centred = pictures.astype(np.float64) - modalities.pictures.mean
    fits: list[Floats] = []
    weights: list[float] = []
    penalty = np.ones(len(pictures))
    for each, direction in zip(arranged, residuals(arranged, modalities), strict=True):
        modality = modalities.of(each.kind)
        if each.weight > 0:
            fits.append(np.maximum(0, 1 + centred @ (direction - modality.mean) / modality.floor))
            weights.append(each.weight)
        else:
            penalty *= np.clip(1 - centred @ direction / modality.floor, 0, 1) ** -each.weight
    shares = np.array(weights) / np.sum(weights)
    each_fit = np.stack(fits)
    whole = np.prod(each_fit ** (len(fits) * shares)[:, None], axis=0)
    harris = whole - HARRIS * (shares @ each_fit) ** len(fits) if len(fits) > 1 else whole
    scores: Floats = np.where(harris > 0, harris * penalty, harris)
    return scores


def _centred(term: VectorTerm, modalities: Modalities | None) -> Floats:
    vector = term.vector.astype(np.float64)
    return vector - modalities.of(term.kind).mean if modalities else vector


def _basis(vectors: Sequence[Floats]) -> Floats:
    """(R, D) orthonormal rows that span the vectors."""
    _, lengths, rows = np.linalg.svd(np.stack(vectors), full_matrices=False)
    spanning: Floats = rows[lengths > 1e-6 * max(lengths.max(), 1e-12)]
    return spanning
