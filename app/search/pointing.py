"""Whether a query points at a folder with a name that it contains, and what is left to look for then.

Most names in queries are what the picture shows: "blue dress", "man holding a camera". A query points at a folder where

- a word for folders stands beside the name, the name is written as a path, or it stands first, before a colon:
  "the nature folder", "album Italy", "nature/beach", "Nature: a lake";
- the name is a place: "in (the) nature", "from Italy", "at the beach"; or a year at the end: "christmas 2022";
- nothing else is left to look for: "show me nature photos".

Nothing counts after a negation: "a dog without a hat".
"""

import re
from enum import IntEnum
from functools import cached_property

from app.search.inflection import forms_of
from app.search.lexicon import (
    A_PLACE_IF_DEFINITE,
    AFTER_A_PLACE,
    ALWAYS_A_PLACE,
    CALLED,
    CONNECTORS,
    CONTAINERS,
    DEFINITE,
    FILLER,
    FOLDER_WORDS,
    NEGATIONS,
    PART_OF_THE_VERB,
    SEVERAL,
    THINGS,
)
from app.search.names import words_of

_QUOTES = " \t\n'\"‘’“”«»"
"""Between words that stand next to each other."""

_COMPOUND = tuple("-_/'’")
"""After a name they continue the word: `nature-like`."""

_LOOSE_QUOTE = re.compile(r"^['’\"”»](?=\s|$)")
"""Of an apostrophe after a plural, or of quotes around a name."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_PUNCTUATION = " ,;:-_/&+"
"""Removed, like connectors, at the place where a folder's name was cut out."""

_BEFORE_A_FOLDER = FILLER - SEVERAL - {"a", "an", "some", "any", "every"}
"""`the nature folder` points at one; `a nature folder` and `an old family album` may be what the picture shows."""


class Pointing(IntEnum):
    """How a query points at a folder, the clearest first."""

    FOLDER = 0
    PLACE = 1
    NOTHING_ELSE = 2


class Sentence:
    """A query: its words, and what stands between them. Each question about it takes constant time."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = words_of(text)

    def pointing(self, first: int, last: int) -> Pointing | None:
        """How the query points at a folder with the words from `first` up to `last`, exclusive; None if it does not."""
        if first > self._first_negation:
            return None
        if self._is_called_a_folder(first, last):
            return Pointing.FOLDER
        if self._is_a_place(first, last) or self._is_the_year(first, last):
            return Pointing.PLACE
        return None if self._says_more(0, first) or self._says_more(last, len(self.words)) else Pointing.NOTHING_ELSE

    def without(self, first: int, last: int) -> str:
        """The text without these words and those that only point at them; all of it if only filler were left."""
        left = self._until(first)
        right = _LOOSE_QUOTE.sub("", self.text[self.words[last - 1].end :])
        right = _cut_start(right, CONTAINERS)
        rest = " ".join(f"{left} {right if left else _cut_start(right, CONNECTORS)}".split())
        return rest if any(word.text not in FILLER for word in words_of(rest)) else self.text

    @cached_property
    def _first_negation(self) -> int:
        return next((at for at, word in enumerate(self.words) if word.text in NEGATIONS), len(self.words))

    @cached_property
    def _telling_before(self) -> list[int]:
        """For each word, and the end: how many words before it describe a picture."""
        counts = [0]
        for word in self.words:
            counts.append(counts[-1] + (word.text not in FILLER))
        return counts

    def _says_more(self, first: int, last: int) -> bool:
        return self._telling_before[last] > self._telling_before[first]

    def _is_called_a_folder(self, first: int, last: int) -> bool:
        name = self.text[self.words[first].start : self.words[last - 1].end]
        return (
            "/" in name
            or (first == 0 and self._gap(last).startswith(":"))
            or self._has_folder_before(first)
            or self._has_folder_after(first, last)
        )

    def _has_folder_before(self, first: int) -> bool:
        """`folder nature`, `in the album called "nature"`."""
        at = first - 1
        if self._is_word(at, CALLED):
            at -= 1
        return self._is_word(at, FOLDER_WORDS) and not self._gap(first).strip(":=") and self._is_free(at)

    def _has_folder_after(self, first: int, last: int) -> bool:
        """`the nature folder`; a name may have the word itself: `the wedding album`."""
        inside = last - first > 1 and self._is_word(last - 1, FOLDER_WORDS)
        end = last if inside else last + 1
        beside = inside or (self._is_word(last, FOLDER_WORDS) and not self._gap(last))
        return beside and self._is_free(first) and self._ends_phrase(end)

    def _is_free(self, at: int) -> bool:
        """Whether nothing describes the word: it stands first, after punctuation, or after a word like `the`."""
        return at == 0 or bool(self._gap(at)) or self._is_word(at - 1, _BEFORE_A_FOLDER)

    def _is_a_place(self, first: int, last: int) -> bool:
        at = first - 1
        if self._gap(first):
            return False
        definite = self._is_word(at, DEFINITE) and not self._gap(at)
        if definite:
            at -= 1
        if not self._is_word(at, ALWAYS_A_PLACE | A_PLACE_IF_DEFINITE if definite else ALWAYS_A_PLACE):
            return False
        preposition = self.words[at].text
        return (
            not self._is_word(at - 1, PART_OF_THE_VERB.get(preposition, frozenset()))
            and self._ends_phrase(last)
            and (preposition == "from" or self._is_word(last, CONTAINERS) or not self._is_a_thing(last - 1))
        )

    def _is_the_year(self, first: int, last: int) -> bool:
        """`christmas 2022`: a date at the end says when the picture was taken."""
        name = self.words[first:last]
        is_date = bool(_YEAR.fullmatch(name[0].text)) and all(word.text.isdigit() for word in name)
        return is_date and not self._is_word(first - 1, SEVERAL) and not self._says_more(last, len(self.words))

    def _is_a_thing(self, at: int) -> bool:
        return not THINGS.isdisjoint(forms_of(self.words[at].text))

    def _ends_phrase(self, last: int) -> bool:
        """Whether the word before `last` ends what is said of the place: no further noun follows."""
        gap = self._gap(last)
        if gap:
            return not gap.startswith(_COMPOUND)
        return last >= len(self.words) or self._is_word(last, AFTER_A_PLACE)

    def _is_word(self, at: int, known: frozenset[str]) -> bool:
        return 0 <= at < len(self.words) and self.words[at].text in known

    def _gap(self, at: int) -> str:
        """What stands between a word and the one before it, beside spaces and quotes."""
        start = self.words[at - 1].end if at > 0 else 0
        end = self.words[at].start if at < len(self.words) else len(self.text)
        return self.text[start:end].strip(_QUOTES)

    def _until(self, first: int) -> str:
        """The text before the name, without `folder`, `called`, and the connectors before them."""
        begin = first
        while self._is_word(begin - 1, CONTAINERS | CALLED):
            begin -= 1
        while self._is_word(begin - 1, CONNECTORS):
            begin -= 1
        return self.text[: self.words[begin].start].rstrip(_PUNCTUATION + _QUOTES)


def _cut_start(text: str, unwanted: frozenset[str]) -> str:
    start = 0
    for word in words_of(text):
        if word.text not in unwanted:
            break
        start = word.end
    return text[start:].lstrip(_PUNCTUATION)
