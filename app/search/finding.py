"""From a prepared query to hits: the synchronous part of a search, for a worker thread.

Three sources give the best pictures in order: one vector search (`sum`), the product of all terms (`all`), and the
words. The rules of `leaving_out` take some away. What is left is judged, cut by relevance and located.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np

from app.catalog.view import View
from app.http.addresses import Locator
from app.search.algebra import Composition, compose, product
from app.search.folding import count_copies, first_of_each
from app.search.hubs import with_fewer_hubs
from app.search.hybrid import Match, Matches, search_both, search_words
from app.search.judging import judge
from app.search.leaving_out import MOST_LOOKED_THROUGH, required, rules_of, take
from app.search.prepared import Prepared
from app.search.query import NO_FILTERS
from app.search.relevance.relevance import Judgement, Relevance, Scales
from app.search.sorting import LEAST_SORTED, MOST_SORTED, SORTED_BEST, by_date, none_relevant
from app.types import Hit, Ids, ImageRecord, row_id

GOOD_WORDS: Final = 0.5
"""A picture that has half of the query's words is a good match; rare words count more."""

CANDIDATES: Final = 1000
"""Of each term, where all terms have to fit."""

NOT_SCALED: Final = (
    "The terms are added up as they are: how texts and pictures lie in this library is not known, because relevance is "
    "not measured, or not yet."
)
CUT_SHORT: Final = (
    f"Only the best {MOST_LOOKED_THROUGH:,} pictures were looked through: most of them are left out by the query."
)


@dataclass(frozen=True, slots=True)
class Found:
    """As in `SearchAnswer`."""

    hits: list[Hit]
    good_match: bool | None = None
    note: str | None = None
    has_more: bool = False
    """Whether there may be pictures after these."""
    best_relevance: float | None = None
    """Of all pictures that were looked at, also those below `min_relevance`. None: not known. 0: there were none."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All that pages show, in order."""

    matches: list[Match]
    note: str | None
    has_more: bool
    """Whether there may be pictures after these."""
    good_match: bool | None = None
    best_relevance: float | None = None
    """Both as in `Found`."""
    is_whole: bool = True
    """Whether all pictures were looked through that could come before these, or among them."""


class _Ranked(NamedTuple):
    row: int
    score: float
    cosine: float


class Finder:
    """Finds and judges. For several threads."""

    def __init__(self, locator: Locator, relevance: Relevance) -> None:
        self._locator = locator
        self._relevance = relevance

    def find(self, prepared: Prepared, view: View) -> Found:
        """The k best pictures of a view. Raises as `SearchService.search`."""
        return self._walk(prepared, view).found(self._locator)

    def scales_of(self, view: View) -> Scales | None:
        """What the pictures of a view are judged by. Raises VectorStoreUnavailable."""
        return self._relevance.of(view)

    def needed_scales(self, view: View) -> Scales:
        """As `scales_of`. Raises NotConfigured or Unavailable too where they are not known."""
        scales = self._relevance.of(view)
        if scales is None:
            raise self._relevance.why_not()
        return scales

    def rank(self, prepared: Prepared, view: View, scales: Scales | None, count: int, shown: Sequence[int]) -> Ranking:
        """The best `count` pictures of a view. Raises as `SearchService.search`.

        Where duplicates are folded, without the photos of the rows `shown`.
        """
        return _Walk(prepared, view, scales, self._relevance, shown).ranking(count)

    def show(self, prepared: Prepared, view: View, scales: Scales | None, matches: Sequence[Match]) -> list[Hit]:
        """Some pictures of a ranking. Raises as `SearchService.search`."""
        return _Walk(prepared, view, scales, self._relevance).hits(matches, self._locator)

    def _walk(self, prepared: Prepared, view: View) -> "_Walk":
        return _Walk(prepared, view, self._relevance.of(view), self._relevance)


class _Walk:
    """One query over one view."""

    def __init__(
        self, prepared: Prepared, view: View, scales: Scales | None, relevance: Relevance, shown: Sequence[int] = ()
    ) -> None:
        self.prepared, self.view, self.query = prepared, view, prepared.query
        self.scales = scales
        self._fold = partial(first_of_each, before=view.records_of(shown) if self.query.fold_duplicates else ())
        self.notes: list[str] = []
        self.judged: Judgement | None = None
        self._is_whole = True
        is_for_all = self.query.combine == "all" and len(prepared.plus_terms) > 1
        self._least = self.query.min_relevance
        if self.query.sort != "score":
            self._least = self._least or LEAST_SORTED
        needs_scales = self._least or prepared.excluded or is_for_all or prepared.fewer_hubs
        if needs_scales and self.scales is None:
            raise relevance.why_not()
        self._modalities = self.scales.modalities if self.scales else None
        self._has_to_fit_all = is_for_all and self._modalities is not None

    def found(self, locator: Locator) -> Found:
        best = self.ranking(self.query.k)
        return Found(self.hits(best.matches, locator), best.good_match, best.note, best.has_more, best.best_relevance)

    def ranking(self, count: int) -> Ranking:
        matches, good_match, has_more = self._best(count)
        best = max(self.judged.relevances, default=0.0) if self.judged else None
        return Ranking(list(matches), self._note, has_more, good_match, best, self._is_whole)

    def hits(self, matches: Sequence[Match], locator: Locator) -> list[Hit]:
        parts = self._parts(matches)
        return [self._hit(match, part, locator) for match, part in zip(matches, parts, strict=True)]

    @property
    def _note(self) -> str | None:
        return " ".join(dict.fromkeys(self.notes)) or None

    def _best(self, count: int) -> tuple[Sequence[Match], bool | None, bool]:
        """The best pictures, whether they fit, and whether there may be more."""
        source = {"vector": self._by_vector, "words": self._by_words, "hybrid": self._by_both}[self.query.mode]
        rules = rules_of(self.prepared, self.scales, self.view)
        if self.query.fold_duplicates and self.query.sort == "score":
            rules.append(self._fold)
        most = count if self.query.sort == "score" else MOST_SORTED
        taken, is_whole = take(source, rules, most + 1)
        matches = taken[:most]
        if not is_whole:
            self._is_whole = False
            self.notes.append(CUT_SHORT)
        good_match = self._good_match(matches)
        if self.query.mode == "vector" and self.judged:
            matches = [
                match._replace(relevance=relevance)
                for match, relevance in zip(matches, self.judged.relevances, strict=True)
            ]
        looked_at = len(matches)
        matches = [match for match in matches if (match.relevance or 0.0) >= self._least]
        if self.query.sort == "score":
            return matches, good_match, len(taken) > most
        dated = self._dated(matches, looked_at)
        return dated[:count], good_match, len(dated) > count

    def _dated(self, relevant: list[Match], looked_at: int) -> list[Match]:
        """By date. Copies are folded after the sorting: the first by date stays."""
        assert self.query.sort != "score"
        if len(relevant) == looked_at == MOST_SORTED:
            self.notes.append(SORTED_BEST)
        if looked_at and not relevant:
            self.notes.append(none_relevant(self._least))
        ordered = by_date(relevant, self.query.sort)
        if self.query.fold_duplicates:
            kept = zip(ordered, self._fold(ordered), strict=True)
            ordered = [match for match, is_first in kept if is_first]
        return ordered

    # Sources

    def _by_vector(self, count: int) -> Sequence[Match]:
        if self._has_to_fit_all:
            best = self._product[:count]
            records = self.view.records_of([each.row for each in best])
            return [Match(record, each.score, each.cosine, None) for record, each in zip(records, best, strict=True)]
        if self.prepared.fewer_hubs:
            return with_fewer_hubs(self._nearest, self._nearness_to_bank, count)
        return [Match(record, score, score, None) for record, score in self._nearest(count)]

    def _nearest(self, count: int) -> list[tuple[ImageRecord, float]]:
        vector, known = self._composition.vector, self.prepared.nearest
        if known and (known.folders, known.depth) == (self.prepared.folders, count):
            records = self.view.records_of([row for row, _ in known.hits])
            return [(record, score) for record, (_, score) in zip(records, known.hits, strict=True)]
        return self.view.search(vector, count, folders=self.prepared.folders, among=self._among)

    def _nearness_to_bank(self, records: Sequence[ImageRecord]) -> list[float]:
        assert self.scales is not None
        return self.scales.nearness_to_bank(records, self.view)

    def _by_words(self, count: int) -> Sequence[Match]:
        vector = self._composition.vector
        return self._noted(
            search_words(
                self.view, self.prepared.words, vector, count, self.prepared.folders, among=self._among,
                relevances=self._relevances,
            )
        )  # fmt: skip

    def _by_both(self, count: int) -> Sequence[Match]:
        vector = self._composition.vector
        return self._noted(
            search_both(
                self.view, self.prepared.words, vector, count, self.prepared.folders, among=self._among,
                relevances=self._relevances, fusion=self.query.fusion,
            )
        )  # fmt: skip

    def _noted(self, matches: Matches) -> Sequence[Match]:
        if matches.problem:
            self.notes.append(matches.problem)
        return matches.found

    @property
    def _relevances(self) -> Callable[[Sequence[tuple[ImageRecord, float]]], Sequence[float]] | None:
        return self._judge_relevances if self.scales else None

    def _judge_relevances(self, found: Sequence[tuple[ImageRecord, float]]) -> Sequence[float]:
        assert self.scales is not None
        self.judged = judge(self.prepared, self.scales, found, self.view)
        return self.judged.relevances

    @cached_property
    def _composition(self) -> Composition:
        terms, modalities = self.prepared.terms, self._modalities
        if modalities is None and (len({term.kind for term in terms}) > 1 or any(term.weight < 0 for term in terms)):
            self.notes.append(NOT_SCALED)
        return compose(terms, modalities)

    @cached_property
    def _product(self) -> list[_Ranked]:
        """The best candidates of each plus term, those that fit all terms first."""
        assert self._modalities is not None
        of_terms = self.view.nearest_rows(
            np.stack([term.vector for term in self.prepared.plus_terms]), CANDIDATES,
            folders=self.prepared.folders, among=self._among,
        )  # fmt: skip
        if any(len(hits) == CANDIDATES for hits in of_terms):
            self._is_whole = False
        rows = sorted({row for hits in of_terms for row, _ in hits})
        if not rows:
            return []
        vectors = self.view.vectors_of(rows)
        scores = np.round(product(self.prepared.terms, self._modalities, vectors), 6).tolist()
        cosines = np.round(vectors @ self._composition.vector, 6).tolist()
        ranked = map(_Ranked, rows, scores, cosines)
        return sorted(ranked, key=lambda each: (-each.score, each.row))

    @cached_property
    def _among(self) -> Ids | None:
        """The rows that fit the filters; None where there are none."""
        if self.query.filters == NO_FILTERS and not self.query.caption:
            return None
        rows: Ids | None = None
        if self.query.filters != NO_FILTERS:
            columns = self.view.columns
            rows = columns.rows[replace(self.query.filters, folders=self.prepared.folders).mask(columns)]
        if self.query.caption:
            caption = required(self.query.caption)
            rows = self.view.rows_having(caption, folders=self.prepared.folders, among=rows)
        return rows

    # What is said of them

    def _good_match(self, matches: Sequence[Match]) -> bool | None:
        """It is a good match too where a picture has half of the query's words."""
        if self.scales is None:
            return None
        if self.query.mode == "vector":
            self.judged = judge(
                self.prepared, self.scales, [(match.record, match.cosine or 0.0) for match in matches], self.view
            )
        is_judged_good = self.judged.good_match if self.judged else False
        return is_judged_good or any(match.words_had >= GOOD_WORDS for match in matches)

    def _parts(self, matches: Sequence[Match]) -> list[tuple[float, ...] | None]:
        having = [match.record for match in matches if match.cosine is not None]
        if not self.query.explain or not having:
            return [None] * len(matches)
        vectors = self.view.vectors_of([row_id(record.image_id) for record in having])
        explained = iter(np.round(self._composition.explain(vectors), 9).tolist())
        return [None if match.cosine is None else tuple(next(explained)) for match in matches]

    def _hit(self, match: Match, parts: tuple[float, ...] | None, locator: Locator) -> Hit:
        """Its score is 0 where the vector server has lost the picture's vector."""
        return Hit(
            match.record,
            match.cosine or 0.0,
            *locator.place(match.record),
            relevance=match.relevance,
            words=None if match.words is None else round(match.words, 4),
            parts=parts,
            stands_for=self._copies(match.record) if self.query.fold_duplicates else None,
            combined=match.score if self._has_to_fit_all and self.query.mode == "vector" else None,
        )

    def _copies(self, record: ImageRecord) -> int:
        gone = self.prepared.queried_ids if self.query.leave_out_queried else ()
        return count_copies(record, self.view, folders=self.prepared.folders, among=self._among, without=gone)
