"""A wish to the terms of one search: the query, feedback, and Rocchio's means of the picked and the rejected pictures.

Rocchio (1971; Manning, Raghavan, Schütze, Introduction to Information Retrieval, 9.1.1): the query moves towards the
mean of the pictures that fit and away from the mean of those that do not:

    query + w1 * mean(picked) - w2 * mean(rejected)

The means are terms like all others, so that the search puts texts and pictures on one scale, and takes away of the
rejected ones only what the others do not have (docs/queries.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from app.catalog.view import View
from app.encoder.encoder import IndexedPicture, RawVector, Term, Text
from app.sessions.feedback import MINUS
from app.sessions.session import SignedText, Wish
from app.types import Vectors, row_id


class Weights(NamedTuple):
    """Of the means; the query's own words count 1. Chosen by `scripts/simulate_sessions.py`."""

    picked: float = 2.0
    rejected: float = 0.5


WEIGHTS: Final = Weights()

CAPTION: Final = 0.5
"""Of the caption of a picture that was sent; the picture counts 1. Words and pictures find more together: NDCG@10 0.40,
not 0.32, for samples with captions of the demo captioner (docs/sessions.md)."""

MAX_TERMS: Final = 16
"""Of one search. Captions take what room the others leave."""

Role: TypeAlias = Literal["query", "caption", "feedback", "picked", "rejected"]


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One term of a search, as the caller is shown it. One of `text`, `image_ids` and `upload_id` is set; of a caption
    also `upload_id`."""

    role: Role
    weight: float
    text: str | None = None
    image_ids: tuple[str, ...] = ()
    """Indexed pictures: one, or several whose mean is searched for."""
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Composed:
    """The terms of a wish, and what there is to say of them."""

    shown: tuple[QueryTerm, ...]
    terms: tuple[tuple[Term, float], ...]
    left_out: tuple[Term, ...]
    """As in `Asked`."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture that was sent."""

    vector: Vectors
    """(D,) float32, unit length."""
    caption: str | None = None


def compose(
    wish: Wish, rewritten: str | None, uploads: Mapping[str, Sent], view: View, weights: Weights = WEIGHTS
) -> Composed:
    """The terms of the wish. `uploads` has the pictures that were sent, by id.

    A rewritten query stands for all words that are looked for; words that are taken away stay. Several pictures share
    the weight of one. Captions count where the query has no words of its own. Judged pictures that the caller can't see
    any more do not count, and a picture that is searched for is not taken away.
    Raises ImageNotFound, VectorStoreUnavailable.
    """
    words = _words(wish, rewritten)
    pictures = len(wish.image_ids) + len(wish.upload_ids)
    parts: list[tuple[QueryTerm, Term]] = [(each, Text(str(each.text))) for each in words]
    parts += [(QueryTerm("query", 1 / pictures, image_ids=(each,)), IndexedPicture(each)) for each in wish.image_ids]
    parts += [
        (QueryTerm("query", 1 / pictures, upload_id=each), RawVector(uploads[each].vector)) for each in wish.upload_ids
    ]
    picked, rejected = _still_there(wish.picked, view), _still_there(wish.rejected, view)
    if picked:
        parts.append((QueryTerm("picked", weights.picked, image_ids=picked), _mean(picked, view)))
    unlike = tuple(each for each in rejected if each not in wish.image_ids)
    if unlike and weights.rejected:
        parts.append((QueryTerm("rejected", -weights.rejected, image_ids=unlike), _mean(unlike, view)))
    if not wish.text and not rewritten:
        captions = [(each, uploads[each].caption) for each in wish.upload_ids]
        described = [
            (QueryTerm("caption", CAPTION / pictures, text=caption, upload_id=each), Text(caption))
            for each, caption in captions
            if caption
        ]
        parts += described[: MAX_TERMS - len(parts)]
    gone = len(wish.picked) + len(wish.rejected) - len(picked) - len(rejected)
    note = f"{gone} of the judged pictures are not in the library any more and do not count." if gone else None
    left_out = tuple(term for each, term in parts if each.role == "feedback" and each.weight == MINUS)
    terms = tuple((term, each.weight) for each, term in parts)
    return Composed(tuple(each for each, _ in parts), terms, left_out, note)


def _words(wish: Wish, rewritten: str | None) -> list[QueryTerm]:
    if rewritten:
        minus = [_feedback(each) for each in wish.feedback if each.weight < 0]
        return [QueryTerm("query", 1.0, text=rewritten), *minus]
    query = [QueryTerm("query", 1.0, text=wish.text)] if wish.text else []
    return [*query, *map(_feedback, wish.feedback)]


def _feedback(said: SignedText) -> QueryTerm:
    return QueryTerm("feedback", said.weight, text=said.text)


def _still_there(image_ids: Sequence[str], view: View) -> tuple[str, ...]:
    return tuple(each for each in image_ids if each in view)


def _mean(image_ids: Sequence[str], view: View) -> RawVector:
    """The mean (D,) of their vectors. Raises VectorStoreUnavailable."""
    vectors = view.vectors_of([row_id(each) for each in image_ids])
    return RawVector(np.mean(vectors, axis=0, dtype=np.float32))
