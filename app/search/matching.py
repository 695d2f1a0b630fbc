"""All pictures that fit a query, without what else there is to say of them: to count them by folder and to select them.

A picture fits that may well be relevant, or that has half of the query's words: what makes an answer a good match.
Where the answer is none, nothing fits.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.catalog.view import View
from app.search.finding import GOOD_WORDS, Finder
from app.search.hybrid import Match
from app.search.leaving_out import MOST_LOOKED_THROUGH
from app.search.net import find_with_net
from app.search.prepared import Prepared
from app.search.relevance.relevance import LEAST_RELEVANCE
from app.types import ImageRecord

JUDGED: Final = 100
"""The best pictures, by which it is judged whether the answer is a good match: as many as a page has at most."""

DEPTHS: Final = (500, 2_000, MOST_LOOKED_THROUGH)
"""Pictures that are looked at. Each takes several times as long as the one before."""

TAIL: Final = 100
"""More pictures are looked at where one of the last ones fits."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Records in the order of their scores."""

    records: list[ImageRecord]
    is_whole: bool = True
    """Whether all pictures were looked at, as far as they can fit."""
    note: str | None = None

    def folders(self) -> list[tuple[str, int]]:
        """How many lie in each folder itself, the fullest first."""
        counts = Counter(record.folder for record in self.records)
        return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def find_matching(finder: Finder, prepared: Prepared, view: View) -> tuple[Prepared, Matching]:
    """The pictures that fit, and the query as it was searched. `k` and `sort` of the query count for nothing.

    Raises as `Finder.find`. Where relevance is not known: NotConfigured or Unavailable, unless only words are searched.
    """
    least = prepared.query.min_relevance
    scales = finder.scales_of(view) if prepared.query.mode == "words" else finder.needed_scales(view)
    anything = replace(prepared.query, k=JUDGED, min_relevance=0.0, sort="score", explain=False)
    prepared, found = find_with_net(finder, replace(prepared, query=anything), view)
    if found.good_match is False:
        return prepared, Matching([], note=found.note)
    for depth in DEPTHS:
        ranking = finder.rank(prepared, view, scales, depth, ())
        has_rest = ranking.has_more and bool(_fitting(ranking.matches[-TAIL:], least))
        if not has_rest:
            break
    records = [match.record for match in _fitting(ranking.matches, least)]
    return prepared, Matching(records, not has_rest, found.note)


def _fitting(matches: Sequence[Match], least: float) -> list[Match]:
    if least:
        return [match for match in matches if (match.relevance or 0.0) >= least]
    return [match for match in matches if (match.relevance or 0.0) >= LEAST_RELEVANCE or match.words_had >= GOOD_WORDS]
