"""How well pictures fit a query of any number of terms: their relevance, and whether the best of them stand out.

Texts and pictures have scales of their own (`relevance`). The plus terms of one kind are judged together, as the sum
that they are. What fits texts and pictures half each has the weighted mean of both relevances. Where all terms have to
fit, each is judged by itself, and the least relevance counts. Minus terms change no relevance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.catalog.view import View
from app.encoder.encoder import unit
from app.search.algebra import VectorTerm
from app.search.modalities import Kind
from app.search.prepared import Prepared
from app.search.relevance.relevance import LEAST_RELEVANCE, Judgement, Scales
from app.types import ImageRecord, Vectors, row_id


class _Group(NamedTuple):
    """Plus terms that are judged together."""

    kind: Kind
    vector: Vectors
    weight: float


def judge(prepared: Prepared, scales: Scales, found: Sequence[tuple[ImageRecord, float]], view: View) -> Judgement:
    """Of the pictures that were found, with their cosines to the query. Raises VectorStoreUnavailable."""
    if prepared.query.is_plain:
        (term,) = prepared.terms
        return scales.judge(term.kind, term.vector, found, view)
    groups = _groups(prepared)
    judgements = [_judge_one(each.kind, each.vector, scales, [record for record, _ in found], view) for each in groups]
    relevances = np.array([each.relevances for each in judgements], np.float64)
    if prepared.query.combine == "all":
        combined = relevances.min(axis=0)
        stands_out = all(each.good_match for each in judgements)
    else:
        weights = np.array([each.weight for each in groups])
        combined = weights @ relevances / weights.sum()
        stands_out = any(each.good_match for each in judgements)
    fits = bool(len(found)) and float(combined.max()) >= LEAST_RELEVANCE
    return Judgement(np.round(combined, 4).tolist(), fits and stands_out)


def are_relevant(term: VectorTerm, scales: Scales, records: Sequence[ImageRecord], view: View) -> list[bool]:
    """Whether each picture may well fit the term. Raises VectorStoreUnavailable."""
    judgement = _judge_one(term.kind, term.vector, scales, records, view)
    return [relevance >= LEAST_RELEVANCE for relevance in judgement.relevances]


def _judge_one(kind: Kind, vector: Vectors, scales: Scales, records: Sequence[ImageRecord], view: View) -> Judgement:
    if not records:
        return Judgement([], False)
    cosines = view.vectors_of([row_id(record.image_id) for record in records]) @ vector
    return scales.judge(kind, vector, list(zip(records, cosines.tolist(), strict=True)), view)


def _groups(prepared: Prepared) -> list[_Group]:
    plus = sorted(prepared.plus_terms, key=lambda term: term.order)
    if prepared.query.combine == "all":
        return [_Group(each.kind, each.vector, each.weight) for each in plus]
    by_kind: dict[Kind, list[VectorTerm]] = {}
    for each in plus:
        by_kind.setdefault(each.kind, []).append(each)
    return [_Group(kind, _sum(members), sum(each.weight for each in members)) for kind, members in by_kind.items()]


def _sum(terms: Sequence[VectorTerm]) -> Vectors:
    """(D,) at length 1."""
    if len(terms) == 1:
        return terms[0].vector
    return unit(np.sum([each.weight * each.vector.astype(np.float64) for each in terms], axis=0))
