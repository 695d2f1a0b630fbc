"""Pictures that a query leaves out although they are near: excluded terms, the queried pictures themselves, and others.

Each rule looks at the best pictures that were found. `take` finds more of them until enough are left.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from app.catalog.view import View
from app.errors import IndexNotReady
from app.search.algebra import VectorTerm
from app.search.hybrid import Match
from app.search.judging import are_relevant
from app.search.prepared import Prepared
from app.search.relevance.relevance import Scales
from app.types import ImageRecord, Vectors, row_id
from app.words.analysis import terms_of, words_of

SAME_PICTURE: Final = 0.999
"""Cosine from which on an indexed picture is taken for the one that was sent: other encodings of it differ less."""

MOST_LOOKED_THROUGH: Final = 10_000
"""Pictures that one query looks through for those that it may show."""

_QUOTATION_MARKS = re.compile(r"[\"“”„«»]")

Rule: TypeAlias = Callable[[Sequence[Match]], Sequence[bool]]
"""Whether each picture may be shown."""


def rules_of(prepared: Prepared, scales: Scales | None, view: View) -> list[Rule]:
    """The rules of a query. `scales` are there for one that excludes terms."""
    return list(_rules(prepared, scales, view))


def _rules(prepared: Prepared, scales: Scales | None, view: View) -> Iterator[Rule]:
    query = prepared.query
    if query.leave_out_queried:
        if gone := prepared.queried_ids:
            yield lambda found: [match.record.image_id not in gone for match in found]
        if prepared.sent_pictures:
            yield partial(_differ, np.stack(prepared.sent_pictures), view)
    if query.caption:
        wanted = frozenset(words_of(query.caption))
        yield lambda found: [wanted.issubset(terms_of(match.record.caption or "")) for match in found]
    if query.mode != "vector":
        for text in prepared.minus_words:
            yield partial(_lack, text, view)
    for term in prepared.excluded:
        assert scales is not None
        yield partial(_irrelevant, term, scales, view)


def take(source: Callable[[int], Sequence[Match]], rules: Sequence[Rule], k: int) -> tuple[list[Match], bool]:
    """The k best of a source that all rules let through, and whether all pictures were looked through for them.

    `source(n)` are the n best.
    """
    if not rules:
        return list(source(k)), True
    asked = min(2 * k, max(k, MOST_LOOKED_THROUGH))
    while True:
        found = source(asked)
        kept = _kept(found, rules)
        if len(kept) >= k or len(found) < asked:
            return kept[:k], True
        if asked >= MOST_LOOKED_THROUGH:
            return kept, False
        asked = min(4 * asked, MOST_LOOKED_THROUGH)


def required(text: str) -> str:
    """The text as a query for pictures that have all of its words."""
    return '"' + _QUOTATION_MARKS.sub(" ", text) + '"'


def _kept(found: Sequence[Match], rules: Sequence[Rule]) -> list[Match]:
    left = list(found)
    for rule in rules:
        left = [match for match, may_stay in zip(left, rule(left), strict=True) if may_stay]
    return left


def _differ(sent: Vectors, view: View, found: Sequence[Match]) -> list[bool]:
    """Whether each picture is another one than those that were sent (P, D)."""

    def other_ones(records: Sequence[ImageRecord]) -> list[bool]:
        vectors = view.vectors_of([row_id(record.image_id) for record in records])
        return [bool(row.all()) for row in vectors @ sent.T < SAME_PICTURE]

    return _of_vectors(found, other_ones)


def _irrelevant(term: VectorTerm, scales: Scales, view: View, found: Sequence[Match]) -> list[bool]:
    """Whether each picture hardly fits a term."""
    return _of_vectors(found, lambda records: [not fits for fits in are_relevant(term, scales, records, view)])


def _of_vectors(found: Sequence[Match], rule: Callable[[Sequence[ImageRecord]], list[bool]]) -> list[bool]:
    """The rule for pictures with vectors. One whose vector the vector server has lost stays."""
    having = [match.record for match in found if match.cosine is not None]
    judged = iter(rule(having) if having else ())
    return [match.cosine is None or next(judged) for match in found]


def _lack(text: str, view: View, found: Sequence[Match]) -> list[bool]:
    """Whether each picture lacks one of the words of a text that is taken away."""
    rows = [row_id(match.record.image_id) for match in found]
    try:
        gone = set(view.rows_having(required(text), among=np.array(rows, np.int64)).tolist())
    except IndexNotReady:  # of which the answer's note tells
        return [True] * len(rows)
    return [row not in gone for row in rows]
