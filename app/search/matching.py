"""All pictures that fit a query, without what else there is to say of them: to count them by folder and to select them.

A picture fits if it may well be relevant, or if it has half of the query's words. Where no picture does, or the best
ones do not stand out, the answer is no good match, and nothing fits. With `min_relevance`, only the relevance counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.catalog.view import View
from app.search.finding import GOOD_WORDS, Finder, Ranking
from app.search.hybrid import Match
from app.search.leaving_out import MOST_LOOKED_THROUGH
from app.search.net import find_with_net
from app.search.prepared import Prepared
from app.search.query import Mode
from app.search.relevance.relevance import LEAST_RELEVANCE
from app.types import ImageRecord

LOOKED_AT: Final = (500, 2_000, MOST_LOOKED_THROUGH)
"""Pictures: more only where more may fit. Each number takes several times as long as the one before."""

TAIL: Final = 100
"""By relevance, more may fit where one of the last ones does."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Records in the order of their scores."""

    records: list[ImageRecord]
    is_whole: bool
    """Whether all pictures were looked at, as far as they can fit."""
    note: str | None

    def folders(self) -> list[tuple[str, int]]:
        """How many lie in each folder itself, the fullest first."""
        counts = Counter(record.folder for record in self.records)
        return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def find_matching(finder: Finder, prepared: Prepared, view: View) -> tuple[Prepared, Matching]:
    """The pictures that fit, and the query as it was searched.

    Raises as `Finder.find`. Where relevance is not known: NotConfigured or Unavailable, unless only words are searched.
    """
    query, least = prepared.query, prepared.query.min_relevance
    by_words_alone = query.mode == "words" and not least
    scales = finder.scales_of(view) if by_words_alone else finder.needed_scales(view)
    prepared = replace(prepared, query=replace(query, min_relevance=0.0))
    rank = partial(finder.rank, view=view, scales=scales, shown=())
    prepared, ranking = find_with_net(partial(rank, count=LOOKED_AT[0]), prepared)
    notes = [ranking.note]
    for count in LOOKED_AT[1:]:
        if _may_be_more(ranking, prepared.query.mode, least):
            ranking = rank(prepared, count=count)
            notes.append(ranking.note)
    nothing_fits = not least and ranking.good_match is False
    records = [] if nothing_fits else [match.record for match in _fitting(ranking.matches, least)]
    is_whole = ranking.is_whole and not _may_be_more(ranking, prepared.query.mode, least)
    return prepared, Matching(records, is_whole, " ".join(dict.fromkeys(filter(None, notes))) or None)


def _may_be_more(ranking: Ranking, mode: Mode, least: float) -> bool:
    """Words rank by where a picture has them, too: one that has half of them may come after many that have fewer."""
    return ranking.has_more and (mode == "words" or bool(_fitting(ranking.matches[-TAIL:], least)))


def _fitting(matches: Sequence[Match], least: float) -> list[Match]:
    if least:
        return [match for match in matches if (match.relevance or 0.0) >= least]
    return [match for match in matches if (match.relevance or 0.0) >= LEAST_RELEVANCE or match.words_had >= GOOD_WORDS]
