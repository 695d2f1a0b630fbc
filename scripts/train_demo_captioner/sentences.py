"""Sentences for scenes, worded as a person would: "two red cars and a dog in the snow".

`Writer.describe` turns a scene into one sentence. All that it says can be seen in the picture, and the same thing is
always said in the same words, so a small model learns it from few pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.train_demo_clip.backgrounds import PLAIN
from scripts.train_demo_clip.colours import COLOUR_NAMES, colour_shares
from scripts.train_demo_clip.phrases import PHRASES, pluralise
from scripts.train_demo_clip.scenes import Group, Scene
from scripts.train_demo_clip.sources import MONOCHROME_STYLES
from scripts.train_demo_clip.sprites import SpriteSheet
from scripts.train_demo_clip.vocabulary import Glyph, Vocabulary


def with_article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


ENGLISH = PHRASES["en"]
NUMBERS = {1: "a", **{count: words[0] for count, words in ENGLISH.numbers.items()}}
PLACES = {
    "sky": "in the sky", "night": "at night", "sunset": "at sunset", "grass": "on the grass", "sea": "in the sea",
    "sand": "on the beach", "snow": "in the snow", "room": "in a room",
    **{plain: f"on {with_article(plain.removeprefix('plain-'))} background" for plain in PLAIN},
}  # fmt: skip
_CLEAR_SHARE = 0.6  # a drawing whose colour covers this much of it is called by that colour
_SPOKEN = Path(__file__).with_name("spoken.txt")


@dataclass(frozen=True)
class Noun:
    """What a sentence calls a thing. `colour` is said where the thing has no other: a red apple, a black cat."""

    one: str
    many: str
    colour: str | None = None


def read_nouns(vocabulary: Vocabulary) -> list[Noun]:
    """The noun of each glyph, in the vocabulary's order."""
    spoken = dict(_read_spoken(_SPOKEN.read_text("utf-8")))
    return [_noun(glyph, spoken.get(glyph.label.lower(), ())) for glyph in vocabulary.glyphs]


def _read_spoken(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            label, *words = (part.strip() for part in line.split("|"))
            yield label.lower(), tuple(words)


def _noun(glyph: Glyph, spoken: tuple[str, ...]) -> Noun:
    name = spoken[0] if spoken else glyph.names["en"]
    first, _, rest = name.partition(" ")
    colour = first if rest and first in COLOUR_NAMES else None
    one = rest if colour else name
    many = spoken[1] if len(spoken) > 1 else plural_of(one)
    return Noun(one, many.removeprefix(f"{colour} "), colour)


def plural_of(word: str) -> str:
    return pluralise(word, "en", np.random.default_rng(0))  # English takes no random draw


def find_clear_colours(sheet: SpriteSheet) -> np.ndarray:
    """(S, G) int: the number of the colour that covers most of each drawing; -1 where no colour does."""
    table = np.full(sheet.present.shape, -1)
    for style, glyph in zip(*np.nonzero(sheet.present), strict=True):
        if sheet.styles[style] not in MONOCHROME_STYLES:
            shares = colour_shares(sheet.pixels[style, glyph, ::3, ::3])
            if shares.max() >= _CLEAR_SHARE:
                table[style, glyph] = shares.argmax()
    return table


class Writer:
    """Describes scenes in sentences; `clear_colours` as `find_clear_colours` returns them."""

    def __init__(self, vocabulary: Vocabulary, clear_colours: np.ndarray) -> None:
        self.nouns, self.clear_colours = read_nouns(vocabulary), clear_colours

    def describe(self, scene: Scene, rng: np.random.Generator) -> str:
        """One sentence; the groups stand in random order."""
        groups = [scene.groups[place] for place in rng.permutation(len(scene.groups))]
        return f"{_listed([self._name(group) for group in groups])} {PLACES[scene.background]}"

    def colour_of(self, group: Group) -> str | None:
        """The colour that a sentence gives this group, if any."""
        own = self.clear_colours[group.style, group.glyph]
        return group.tint or self.nouns[group.glyph].colour or (COLOUR_NAMES[own] if own >= 0 else None)

    def all_words(self) -> list[str]:
        """Every word that a sentence can have, sorted."""
        texts = [*(noun.one for noun in self.nouns), *(noun.many for noun in self.nouns), *PLACES.values()]
        return sorted({word for text in (*texts, *NUMBERS.values(), *COLOUR_NAMES, "an and") for word in text.split()})

    def _name(self, group: Group) -> str:
        noun, colour = self.nouns[group.glyph], self.colour_of(group)
        thing = noun.one if group.count == 1 else noun.many
        named = thing if colour is None or thing.startswith(colour) else f"{colour} {thing}"
        return with_article(named) if group.count == 1 else f"{NUMBERS[group.count]} {named}"


def _listed(parts: list[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
