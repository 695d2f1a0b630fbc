"""Which words of the library stand for a word of a query: other forms of it, words that begin with it, compounds.

The language of a word is not known, so it is reduced to its stem by the rules of every language here. Two words are
forms of one where any language says so (Snowball's stemmers).
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

import Stemmer

LANGUAGES: Final = ("english", "german", "french", "spanish")

FORM: Final = 0.85
"""What another form of the word counts, compared with the word itself."""
SPELLING: Final = 0.9
"""`Mueller` for `Müller`."""
COMPOUND: Final = 0.6
BEGINNING: Final = 0.5
"""A longer word that begins with this one, times the share of its letters."""

SHORTEST_STEM: Final = 3
SHORTEST_BEGINNING: Final = 4
MOST_NEAR: Final = 1000
"""Words with the same beginning that are compared."""
MOST_WORDS: Final = 16
"""That stand for one word."""

_UMLAUTS = (("ae", "a"), ("oe", "o"), ("ue", "u"))


_IRREGULAR = (
    "man men, woman women, child children, person people, foot feet, tooth teeth, goose geese, mouse mice, ox oxen, "
    "leaf leaves, wolf wolves, knife knives, wife wives, life lives, shelf shelves, loaf loaves, calf calves, "
    "half halves, scarf scarves, hoof hooves, thief thieves, bus buses, "
    "cheval chevaux, animal animaux, journal journaux, oeil yeux, ciel cieux, travail travaux"
)
_OTHER_NUMBER: Final = {
    word: other for pair in _IRREGULAR.split(", ") for word, other in (pair.split(), reversed(pair.split()))
}
"""Singulars and plurals that no rule knows, English and French."""


class Vocabulary(Protocol):
    """The terms of some pictures."""

    def count_of(self, term: str) -> int:
        """How many pictures have the term."""
        ...

    def starting_with(self, prefix: str, most: int) -> list[tuple[str, int]]:
        """Words of letters that begin so, each with its number of pictures; none where they are more than `most`."""
        ...

    def compounds_of(self, term: str, most: int) -> list[tuple[str, int]]:
        """Longer words that the term is a part of, each with its number of pictures: up to `most`, the commonest ones.

        Of equally common ones the first in the alphabet are taken.
        """
        ...


class Standing(NamedTuple):
    """A term that stands for a word."""

    counts: float
    """What it counts, compared with the word itself, 0 to 1."""
    pictures: int
    """How many have it."""


def expand(word: str, vocabulary: Vocabulary) -> dict[str, Standing]:
    """The terms of the vocabulary that stand for `word`, the word itself among them if pictures have it."""
    found: dict[str, Standing] = {}
    if word.isalpha() and len(word) >= SHORTEST_STEM:
        for term, standing in _alike(word, vocabulary):
            if term not in found or found[term].counts < standing.counts:
                found[term] = standing
        best = sorted(found.items(), key=lambda one: (-one[1].counts, -one[1].pictures, one[0]))
        found = dict(best[:MOST_WORDS])
    if pictures := vocabulary.count_of(word):
        found[word] = Standing(1.0, pictures)
    return found


def _alike(word: str, vocabulary: Vocabulary) -> Iterator[tuple[str, Standing]]:
    if (other := _OTHER_NUMBER.get(word)) and (pictures := vocabulary.count_of(other)):
        yield other, Standing(FORM, pictures)
    for spelling in _spellings(word):
        if pictures := vocabulary.count_of(spelling):
            yield spelling, Standing(SPELLING, pictures)
            for term, standing in _alike_in_front(spelling, vocabulary):
                yield term, Standing(SPELLING * standing.counts, standing.pictures)
    for compound, pictures in vocabulary.compounds_of(word, MOST_WORDS):
        yield compound, Standing(COMPOUND, pictures)
    yield from _alike_in_front(word, vocabulary)


def _alike_in_front(word: str, vocabulary: Vocabulary) -> Iterator[tuple[str, Standing]]:
    """Other forms of the word, and longer words that begin with it."""
    stems = _stems([word])
    near = _near(word, vocabulary, shortest=min(len(stem) for (stem,) in stems))
    of_near = _stems([term for term, _ in near])
    forms = {
        place
        for (stem,), theirs in zip(stems, of_near, strict=True)
        for place, other in enumerate(theirs)
        if other == stem
    }
    for place, (term, pictures) in enumerate(near):
        if place in forms:
            yield term, Standing(FORM, pictures)
        elif len(word) >= SHORTEST_BEGINNING and term.startswith(word):
            yield term, Standing(BEGINNING * len(word) / len(term), pictures)


def _near(word: str, vocabulary: Vocabulary, shortest: int) -> list[tuple[str, int]]:
    """Words that begin with the first letters of `word`: `shortest` but one, or more of them for fewer words.

    Stems may differ from their words in the last letter: `happi` is that of `happy`.
    """
    for length in range(max(SHORTEST_STEM, shortest - 1), len(word) + 1):
        if near := vocabulary.starting_with(word[:length], MOST_NEAR):
            return near
    return []


def _spellings(word: str) -> Iterable[str]:
    for written, letter in _UMLAUTS:
        if written in word:
            yield word.replace(written, letter)


class _Stemmers(threading.local):
    """Of each thread its own: they keep a state."""

    def __init__(self) -> None:
        self.all = [Stemmer.Stemmer(language) for language in LANGUAGES]


_STEMMERS = _Stemmers()


def _stems(words: list[str]) -> list[list[str]]:
    """In each language the stems of these words."""
    return [stemmer.stemWords(words) for stemmer in _STEMMERS.all]
