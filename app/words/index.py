"""Searching the words of one state of the index: the word file of its generation, and the changes since.

The best pictures are exact in any folder and under any filter. The score is BM25F divided by its upper bound for the
query:

    score = sum over the words of idf x weight x what the found word counts / sum over the words of idf

It lies between 0 and 1. A word that no picture has lowers the scores of all.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.types import Ids, in_folder
from app.words.analysis import Document
from app.words.base import WordBase
from app.words.expansion import Standing, expand
from app.words.file import Places, WordFile
from app.words.overlay import NONE, Overlay
from app.words.query import WordQuery, parse
from app.words.ranking import Best, FileScores, Mask
from app.words.scoring import Sought, fraction, parts_had, score_overlay, seek

MOST_NAMED: Final = 1000
"""A name that more pictures share, such as `IMG` with a number, names none of them."""

MOST_MASKS: Final = 8
"""Sets of folders for which is kept who lies in them, one byte a picture."""


MOST_EXPANSIONS: Final = 1024
"""Words of queries for which the terms are kept."""


class Listing(Protocol):
    """The pictures of a generation, in the order of its files."""

    @property
    def ids(self) -> Ids:
        """(N,) row ids."""
        ...

    @property
    def folders(self) -> Sequence[str]:
        """Distinct folder paths."""
        ...

    @property
    def codes(self) -> NDArray[np.int32]:
        """(N,) index into `folders`."""
        ...

    def locate(self, ids: Ids) -> tuple[Ids, Mask]:
        """The place of each id, and whether it is there at all."""
        ...


class WordHits(NamedTuple):
    """What a search for words found."""

    hits: list[tuple[int, float]]
    """Row id and score: first the pictures that are called like the query, then the others, each by falling score.

    The order does not depend on `k`, also of equal scores: the first ones stay the first ones.
    """
    named: frozenset[int]
    """Rows of the pictures that are called like the query, apart from numbers."""
    others: dict[int, float]
    """The scores of the rows that were asked for besides."""
    had: dict[int, float]
    """Of all these rows: which part of the words they have (`parts_had`)."""


NOTHING: Final = WordHits([], frozenset(), {}, {})


class WordIndex:
    """Immutable, for several threads. A changed copy shares the file, and costs memory for the changes only."""

    def __init__(self, base: WordBase, listing: Listing) -> None:
        self._base = base
        self._listing = listing
        self._masks: dict[tuple[str, ...], Mask] = {}
        """Which pictures of the file lie in or below some folders."""
        self._expansions: dict[str, dict[str, Standing]] = {}
        """The terms of the file for some words."""
        self._touched: frozenset[int] = frozenset()
        """Rows that were added, replaced or removed since the file was written."""
        self._changing = threading.Lock()
        self._changes: tuple[Overlay, Mapping[int, Document | None]] = (NONE, {})
        """What was read of the changes, and those that were not yet."""

    def changed(self, added: Mapping[int, Document], gone: Collection[int]) -> "WordIndex":
        """The index without the rows `gone`, and with these documents. The first search reads them."""
        made = WordIndex(self._base, self._listing)
        made._masks, made._expansions = self._masks, self._expansions
        made._touched = self._touched.union(gone, added)
        overlay, unread = self._changes
        made._changes = overlay, {**unread, **dict.fromkeys(gone), **added}
        return made

    def search(
        self, text: str, k: int, *, folders: Collection[str] = (), among: Ids | None = None, also: Sequence[int] = ()
    ) -> WordHits:
        """The k best pictures for a text that a person typed.

        Only those in or below one of `folders` (if there are any) and in the rows `among` are found; the scores of the
        rows `also` are told wherever they lie. Raises IndexNotReady, and what making the word file raises.
        """
        query = parse(text)
        if not query:
            return NOTHING
        file, overlay, sought = self._seek(query)
        in_file = FileScores(file, sought)
        seen = in_file.narrow(self._seen(folders, among))
        in_overlay = score_overlay(overlay, sought)
        added = {row: in_overlay[row] for row in _seen_rows(in_overlay, overlay, folders, among)}
        called, called_rows = self._called(query.code, file, overlay, seen, added.keys())
        named = frozenset([*self._listing.ids[called].tolist(), *called_rows])
        found = [Best(called, in_file.of(called)), in_file.best(seen, k)]
        hits = self._ranked(found, added, named)[:k]
        had = self._parts_had([*(row for row, _ in hits), *also], sought, file, overlay)
        return WordHits(hits, named, self._scores_of(also, in_file, in_overlay), had)

    def having(self, text: str, *, folders: Collection[str] = (), among: Ids | None = None) -> Ids:
        """The rows of all pictures with the words that stand between quotation marks. The rest as in `search`."""
        query = parse(text)
        if not query:
            return np.empty(0, np.int64)
        file, overlay, sought = self._seek(query)
        seen = FileScores(file, sought).narrow(self._seen(folders, among))
        added = _seen_rows(score_overlay(overlay, sought), overlay, folders, among)
        return np.concatenate([self._listing.ids[np.flatnonzero(seen)], np.array(added, np.int64)])

    def _seek(self, query: WordQuery) -> tuple[WordFile, Overlay, list[Sought]]:
        """Where the words are looked for, and what stands for them there."""
        file, overlay = self._base.get(), self._overlay
        count = int(np.count_nonzero(self._kept)) + len(overlay)
        return file, overlay, seek(query, count, lambda word: self._expand(word, file, overlay))

    def _ranked(
        self, found: Sequence[Best], added: Mapping[int, int], named: Collection[int]
    ) -> list[tuple[int, float]]:
        """What was found in the file and the added rows: the named ones first, then by falling scores.

        Of equal scores the first in the file comes first, then the added rows by their ids.
        """
        ranks = {
            row: (row not in named, -score, place, row)
            for part in found
            for row, score, place in zip(
                self._listing.ids[part.places].tolist(), part.scores.tolist(), part.places.tolist(), strict=True
            )
        }
        ranks |= {row: (row not in named, -score, len(self._listing.ids), row) for row, score in added.items()}
        return [(row, fraction(-rank[1])) for row, rank in sorted(ranks.items(), key=lambda one: one[1])]

    @property
    def _overlay(self) -> Overlay:
        """The changes since the file was written; the first call reads those that were not read yet."""
        overlay, unread = self._changes
        if not unread:
            return overlay
        with self._changing:
            overlay, unread = self._changes
            if unread:
                overlay = overlay.changed(unread)
                self._changes = overlay, {}
            return overlay

    @cached_property
    def _kept(self) -> Mask:
        """(N,) which pictures of the file are still there, and not in the overlay. Never written to."""
        kept = np.ones(len(self._listing.ids), bool)
        places, found = self._listing.locate(np.fromiter(self._touched, np.int64, len(self._touched)))
        kept[places[found]] = False
        return kept

    def _expand(self, word: str, file: WordFile, overlay: Overlay) -> dict[str, Standing]:
        """The terms of all pictures that stand for a word."""
        found = self._expansions.get(word)
        if found is None:
            found = self._expansions[word] = expand(word, file)
            for oldest in list(self._expansions)[:-MOST_EXPANSIONS]:
                self._expansions.pop(oldest, None)
        if not len(overlay):
            return found
        added = expand(word, overlay)
        both = {term: (found.get(term), added.get(term)) for term in found | added}
        return {term: _joined(*pair) for term, pair in both.items()}

    def _seen(self, folders: Collection[str], among: Ids | None) -> Mask:
        """(N,) which pictures of the file may be found."""
        seen = self._kept
        if folders:
            seen = seen & self._in_folders(tuple(sorted(set(folders))))
        if among is not None:
            wanted = np.zeros(len(seen), bool)
            places, found = self._listing.locate(among)
            wanted[places[found]] = True
            seen = seen & wanted
        return seen

    def _in_folders(self, folders: tuple[str, ...]) -> Mask:
        mask = self._masks.get(folders)
        if mask is None:
            inside = [any(in_folder(path, folder) for folder in folders) for path in self._listing.folders]
            mask = np.array(inside, bool)[self._listing.codes]
            self._masks[folders] = mask
            for oldest in list(self._masks)[:-MOST_MASKS]:
                self._masks.pop(oldest, None)
        return mask

    def _called(
        self, code: int, file: WordFile, overlay: Overlay, seen: Mask, added: Collection[int]
    ) -> tuple[Places, list[int]]:
        """The places in the file, and the added rows, of pictures that may be found and are called like the query."""
        places = file.called(code)
        places = places[seen[places]]
        rows = [row for row in overlay.called(code) if row in added]
        few = len(places) + len(rows) <= MOST_NAMED
        return (places, rows) if few else (places[:0], [])

    def _scores_of(self, rows: Sequence[int], in_file: FileScores, in_overlay: Mapping[int, int]) -> dict[int, float]:
        """The scores of any rows; 0 for one that has none of the words, or is not listed."""
        places, found = self._listing.locate(np.array(rows, np.int64))
        scores = np.zeros(len(rows), np.int32)
        scores[found] = in_file.of(places[found].astype(np.int32))
        return {
            row: fraction(in_overlay.get(row, 0) if row in self._touched else score)
            for row, score in zip(rows, scores.tolist(), strict=True)
        }

    def _parts_had(
        self, rows: Sequence[int], sought: Sequence[Sought], file: WordFile, overlay: Overlay
    ) -> dict[int, float]:
        others = [row for row in rows if row in self._touched]
        kept = [row for row in rows if row not in self._touched]
        places, found = self._listing.locate(np.array(kept, np.int64))
        in_file, added = parts_had(sought, file, places.astype(np.int32), overlay, others)
        had = {
            row: part if is_there else 0.0 for row, part, is_there in zip(kept, in_file, found.tolist(), strict=True)
        }
        return had | dict(zip(others, added, strict=True))


def _seen_rows(rows: Iterable[int], overlay: Overlay, folders: Collection[str], among: Ids | None) -> list[int]:
    """Which of some rows of the overlay may be found."""
    inside = [row for row in rows if not folders or any(in_folder(overlay.folders[row], each) for each in folders)]
    if among is None or not inside:
        return inside
    rising = np.sort(np.array(inside, np.int64))
    nearest = rising[np.minimum(np.searchsorted(rising, among), len(rising) - 1)]
    found: list[int] = among[nearest == among].tolist()
    return found


def _joined(*standings: Standing | None) -> Standing:
    some = [standing for standing in standings if standing]
    return Standing(max(standing.counts for standing in some), sum(standing.pictures for standing in some))
