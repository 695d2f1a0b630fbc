"""What a person typed, as words to look for. No text is an error: what is no word is passed over."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.words.analysis import name_codes, without_picture_suffixes, words_of
from app.words.stop_words import STOP_WORDS

MOST_WORDS: Final = 64
"""Of one query. Later words are passed over."""

_QUOTED = re.compile(r"[\"“”„«»]([^\"“”„«»]*)[\"“”„«»]")


@dataclass(frozen=True, slots=True)
class Word:
    """A term that is looked for."""

    text: str
    is_required: bool = False
    """Whether pictures without it are left out."""


@dataclass(frozen=True, slots=True)
class WordQuery:
    """The distinct words of a query, and the code of the picture's name that it may be."""

    words: tuple[Word, ...]
    code: int

    def __bool__(self) -> bool:
        return bool(self.words)


def parse(text: str) -> WordQuery:
    """Words between quotation marks are required; the others only raise a picture's score.

    Words without meaning count only where there are no others.
    """
    text = without_picture_suffixes(text)
    found: dict[str, bool] = {}
    for word, is_required in _words(text):
        found[word] = found.get(word, False) or is_required
    telling = {word: required for word, required in found.items() if required or word not in STOP_WORDS} or found
    words = tuple(Word(word, required) for word, required in list(telling.items())[:MOST_WORDS])
    return WordQuery(words, name_codes(text)[0])


def _words(text: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for quoted in _QUOTED.finditer(text):
        yield from ((word, False) for word in words_of(text[end : quoted.start()]))
        yield from ((word, True) for word in words_of(quoted[1]))
        end = quoted.end()
    yield from ((word, False) for word in words_of(text[end:]))
