"""What the words of a query count, and the scores of the pictures in the overlay, which are few.

Scores are whole numbers here, so that a sum is the same in any order; `fraction` makes 0 to 1 of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.words.expansion import FORM, Standing
from app.words.file import STEPS, Places, WordFile
from app.words.overlay import Overlay
from app.words.query import WordQuery

MOST_SCORED: Final = 16
"""Words of a query that are scored: the rarest ones. Commoner words hardly change the order, and would take long."""

UNIT: Final = 1 << 22
"""A share of 1. The greatest score, `STEPS` times this, fits into 32 bits."""


@dataclass(frozen=True, slots=True)
class Sought:
    """A word of a query, and what stands for it in the library."""

    terms: tuple[tuple[str, int], ...]
    """Each with the score of a picture for one step of weight. The best one of a picture counts."""
    is_required: bool
    part: float = 0.0
    """Of the idf of the words that are scored, and of those that no picture has."""
    forms: tuple[str, ...] = ()
    """Those of `terms` that are the word itself, in any of its forms."""


def seek(query: WordQuery, count: int, expansions: Callable[[str], dict[str, Standing]]) -> list[Sought]:
    """The words of the query that pictures have, with their shares of the score; all shares together are at most 1.

    `count` is the number of pictures. The share of a word is its idf, so rare words count most.
    """
    found = [(word, expansions(word.text)) for word in query.words]
    idfs = [_idf(_pictures(terms), count) for _, terms in found]
    total = sum(idfs)
    known = [(idf / total, word, terms) for idf, (word, terms) in zip(idfs, found, strict=True)]
    known = [one for one in known if one[2] or one[1].is_required]
    known.sort(key=lambda one: (not one[1].is_required, -one[0]))
    rarest, passed_over = known[:MOST_SCORED], known[MOST_SCORED:]
    whole = 1 - sum(share for share, _, _ in passed_over)
    return [
        Sought(_shares(terms, share), word.is_required, share / whole, _forms(terms)) for share, word, terms in rarest
    ]


def score_overlay(overlay: Overlay, sought: Sequence[Sought]) -> dict[int, int]:
    """The score of each added picture that has any of the words, and all required ones, by row id."""
    scores: dict[int, int] = {}
    lacking: set[int] = set()
    for word in sought:
        best: dict[int, int] = {}
        for term, share in word.terms:
            for row, weight in overlay.find(term).items():
                best[row] = max(best.get(row, 0), share * weight)
        if word.is_required:
            lacking.update(overlay.folders.keys() - best.keys())
        for row, score in best.items():
            scores[row] = scores.get(row, 0) + score
    return {row: score for row, score in scores.items() if row not in lacking}


def fraction(score: int) -> float:
    """The score as a share of what the query could reach, 0 to 1."""
    return min(1.0, score / (STEPS * UNIT))


def parts_had(
    sought: Sequence[Sought], file: WordFile, places: Places, overlay: Overlay, rows: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Which part of the query's words, by their idf, pictures have: those at places of the file, and added rows.

    It does not matter where a picture has a word, and how often. Of long queries, only the words that are scored count.
    """
    in_file, added = np.zeros(len(places)), np.zeros(len(rows))
    for word in sought:
        has, has_added = np.zeros(len(places), bool), np.zeros(len(rows), bool)
        for term in word.forms:
            has |= file.has(term, places)
            having = overlay.find(term)
            has_added |= np.array([row in having for row in rows], bool)
        in_file += word.part * has
        added += word.part * has_added
    return np.round(in_file, 9).tolist(), np.round(added, 9).tolist()


def _pictures(terms: Mapping[str, Standing]) -> int:
    """How many pictures have a word: as many as its most common form, or else as the most common term for it."""
    forms = [term.pictures for term in terms.values() if term.counts >= FORM]
    return max(forms or [term.pictures for term in terms.values()], default=0)


def _shares(terms: Mapping[str, Standing], share: float) -> tuple[tuple[str, int], ...]:
    """At least 1 each: a picture that has only a very common word is found, after the others."""
    return tuple((term, max(1, round(share * standing.counts * UNIT))) for term, standing in terms.items())


def _forms(terms: Mapping[str, Standing]) -> tuple[str, ...]:
    return tuple(term for term, standing in terms.items() if standing.counts >= FORM)


def _idf(pictures: int, count: int) -> float:
    """BM25's, which is never negative."""
    return math.log1p((max(count, pictures) - pictures + 0.5) / (pictures + 0.5))
