"""The words of pictures that the journals added since the word file was written."""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Final

from app.words.analysis import Document, name_codes
from app.words.build import BLOCK, Names, postings_of
from app.words.compounds import SHORTEST_PART

_Rows = dict[int, int]
"""Stored weights (`file.STEPS`) by row id."""


class Overlay:
    """Immutable: a changed copy shares what did not change."""

    def __init__(self) -> None:
        self._rows: dict[str, _Rows] = {}
        """By term."""
        self._terms: dict[int, list[str]] = {}
        """By row id."""
        self._codes: dict[int, tuple[int, ...]] = {}
        """Codes of the names, by row id."""
        self.folders: dict[int, str] = {}
        """By row id."""

    def changed(self, changes: Mapping[int, Document | None]) -> "Overlay":
        """With other words for these rows, or none. The cost grows with the changes, and a little with what is here."""
        made = Overlay()
        made._rows, made._terms = dict(self._rows), dict(self._terms)
        made._codes, made.folders = dict(self._codes), dict(self.folders)
        own: set[str] = set()
        for row in changes:
            made._remove(row, own)
        added = [(row, document) for row, document in changes.items() if document is not None]
        for first in range(0, len(added), BLOCK):
            made._add(added[first : first + BLOCK], own)
        return made

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self._terms)

    def find(self, term: str) -> Mapping[int, int]:
        """The stored weight of each picture with the term, by row id."""
        return self._rows.get(term, {})

    def called(self, code: int) -> list[int]:
        """The rows of pictures whose name has this code, one of `name_codes`."""
        return [row for row, codes in self._codes.items() if code in codes]

    def count_of(self, term: str) -> int:
        return len(self._rows.get(term, ()))

    def starting_with(self, prefix: str, most: int) -> list[tuple[str, int]]:
        """As `WordFile.starting_with`."""
        first, last = (bisect_left(self._words, text) for text in (prefix, prefix + "\U0010ffff"))
        return self._counted(self._words[first:last]) if last - first <= most else []

    def compounds_of(self, term: str, most: int) -> list[tuple[str, int]]:
        """Words that end with the term: the changes have too few words to tell compounds from others.

        As `WordFile.compounds_of`, up to `most`.
        """
        shortest = len(term) + SHORTEST_PART
        if len(term) < SHORTEST_PART:
            return []
        found = self._counted([word for word in self._words if len(word) >= shortest and word.endswith(term)])
        return sorted(found, key=lambda each: -each[1])[:most]

    def _counted(self, words: Sequence[str]) -> list[tuple[str, int]]:
        return [(word, len(self._rows[word])) for word in words]

    @cached_property
    def _words(self) -> list[str]:
        """Terms of letters, sorted."""
        return sorted(term for term in self._rows if term.isalpha())

    def _remove(self, row: int, own: set[str]) -> None:
        for term in self._terms.pop(row, ()):
            del self._own_rows(term, own)[row]
            if not self._rows[term]:
                del self._rows[term]
                own.discard(term)
        self._codes.pop(row, None)
        self.folders.pop(row, None)

    def _add(self, added: Collection[tuple[int, Document]], own: set[str]) -> None:
        numbers: dict[str, int] = {}
        found = postings_of([document for _, document in added], numbers, Names())
        terms, rows = list(numbers), [row for row, _ in added]
        for number, place, weight in zip(
            found.terms.tolist(), found.places.tolist(), found.weights.tolist(), strict=True
        ):
            self._own_rows(terms[number], own)[rows[place]] = weight
            self._terms.setdefault(rows[place], []).append(terms[number])
        for row, document in added:
            self._terms.setdefault(row, [])
            self._codes[row], self.folders[row] = name_codes(document.name), document.folder

    def _own_rows(self, term: str, own: set[str]) -> _Rows:
        """The rows of a term, copied once before they are changed."""
        if term not in own:
            self._rows[term] = dict(self._rows.get(term, {}))
            own.add(term)
        return self._rows[term]


NONE: Final = Overlay()
