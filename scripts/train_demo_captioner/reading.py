"""Reads a caption back into claims and compares them with the facts of its scene.

`Reader.read` -> claims (what, how many, which colour); `mark` says which facts of a scene the claims get right.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from scripts.train_demo_captioner.sentences import PLACES, Noun, Writer, plural_of, read_nouns
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.phrases import PHRASES
from scripts.train_demo_clip.scenes import Group, Scene
from scripts.train_demo_clip.vocabulary import Vocabulary

_ENGLISH = PHRASES["en"]
_COUNTS = {word: count for count, words in _ENGLISH.numbers.items() for word in words} | {
    word.split()[-1]: 1 for word in (*_ENGLISH.articles, "an")
}
_COLOURS = {word: colour for colour, words in _ENGLISH.colours.items() for word in words}
_PLACES = sorted({*PLACES.values(), *(phrase for row in _ENGLISH.places.values() for phrase in row)}, key=len)[::-1]
_WALLS = [re.escape(phrase).replace(r"\{\}", "(an? )?[a-z]+") for phrase in _ENGLISH.on_colour if "{} " in phrase]
_WHERE = re.compile("|".join([r"on an? [a-z]+ background", *map(re.escape, _PLACES), *_WALLS]))
_MOST_MEANINGS = 3  # a keyword of emojibase that fits more things than these ("animal") names none of them


@dataclass(frozen=True)
class Claim:
    """What a caption says of one kind of thing: how many, which of `glyphs`, in which colour (None: none named)."""

    glyphs: frozenset[int]
    count: int
    colour: str | None


class Reader:
    """Finds the nouns of the vocabulary in a text: the captioner's own nouns, names, everyday words, clear keywords."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.phrases: dict[tuple[str, ...], set[int]] = {}
        for number, (glyph, noun) in enumerate(zip(vocabulary.glyphs, read_nouns(vocabulary), strict=True)):
            keywords = [
                word
                for word in glyph.clear_keywords.get("en", ())
                if len(vocabulary.caption_meanings[word]) <= _MOST_MEANINGS
            ]
            for word in (glyph.names["en"], *glyph.everyday.get("en", ()), *keywords):
                self._add(number, word, plural_of(word))
            self._add_noun(number, noun)
        self.longest = max(map(len, self.phrases))

    def _add_noun(self, number: int, noun: Noun) -> None:
        self._add(number, noun.one, noun.many)
        if noun.colour:
            self._add(number, f"{noun.colour} {noun.one}", f"{noun.colour} {noun.many}")

    def _add(self, number: int, *words: str) -> None:
        for word in words:
            self.phrases.setdefault(tuple(word.split()), set()).add(number)

    def read(self, caption: str) -> list[Claim]:
        """The claims in their order. Words for the place and words that it does not know say nothing."""
        words = _WHERE.sub(" ", caption.lower()).replace(",", " ").split()
        claims, place, count = [], 0, 1
        while place < len(words):
            colour = _COLOURS.get(words[place])
            found, length = self._noun_at(words, place)
            if colour:
                after, length_after = self._noun_at(words, place + 1)
                found, length = (found | after, max(length, 1 + length_after)) if after else (found, length)
            if found:
                claims.append(Claim(frozenset(found), count, colour if length > 1 else None))
                place, count = place + length, 1
            else:
                count = _COUNTS.get(words[place], count)
                place += 1
        return claims

    def _noun_at(self, words: Sequence[str], place: int) -> tuple[set[int], int]:
        """(the glyphs that the longest noun at this place means, its number of words)."""
        for length in range(min(self.longest, len(words) - place), 0, -1):
            meant = self.phrases.get(tuple(words[place : place + length]))
            if meant:
                return set(meant), length
        return set(), 0


@dataclass(frozen=True)
class Mark:
    """What a caption says about one group of a scene. `coloured` is None if the group has no clear colour."""

    named: bool
    counted: bool
    coloured: bool | None
    several: bool


@dataclass(frozen=True)
class Marks:
    """The marks of one caption: one for each group, and which of the things that it names are there."""

    groups: tuple[Mark, ...]
    things: int
    true_things: int


def mark(claims: Sequence[Claim], scene: Scene, writer: Writer, own_colours: np.ndarray) -> Marks:
    """Each group goes with at most one claim, as it fits best: by the thing first, then by number and colour."""
    padded: list[Claim | None] = [*claims, *([None] * len(scene.groups))]
    options = (
        tuple(_mark(claim, group, writer, own_colours) for claim, group in zip(chosen, scene.groups, strict=True))
        for chosen in set(permutations(padded[: 4 + len(scene.groups)], len(scene.groups)))
    )
    best = max(options, key=lambda marks: sum(4 * row.named + row.counted + bool(row.coloured) for row in marks))
    there = {group.glyph for group in scene.groups}
    return Marks(best, len(claims), sum(bool(claim.glyphs & there) for claim in claims))


def _mark(claim: Claim | None, group: Group, writer: Writer, own_colours: np.ndarray) -> Mark:
    several, clear = group.count > 1, writer.colour_of(group)
    if claim is None:
        return Mark(False, False, None if clear is None else False, several)
    shown = {clear} | (
        {COLOUR_NAMES[k] for k in np.flatnonzero(own_colours[group.style, group.glyph])}
        if group.tint is None
        else set()
    )
    coloured = None if clear is None else claim.colour in shown
    return Mark(group.glyph in claim.glyphs, claim.count == group.count, coloured, several)
