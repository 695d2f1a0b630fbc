"""Captions of a scene, with their claims in a form that can be checked against other scenes.

`Captioner.describe` -> `Caption(text, terms, background)`; `satisfies` tells for which scenes a caption is true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.train_demo_clip.backgrounds import BACKGROUNDS, PLAIN
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.phrases import PHRASES, Phrases, pluralise
from scripts.train_demo_clip.scenes import Group, Scene
from scripts.train_demo_clip.vocabulary import LANGUAGES, Glyph, Vocabulary

ANY_COUNT = 0
SEVERAL = -1
LANGUAGE_ODDS = {"en": 0.52, "de": 0.16, "fr": 0.16, "es": 0.16}


@dataclass(frozen=True)
class Term:
    """One claim: the scene has a group of one of `glyphs`, in this colour (None: any colour) and this number."""

    glyphs: frozenset[int]
    colour: str | None
    count: int


@dataclass(frozen=True)
class Caption:
    """`glyphs` are those of the groups that the text names."""

    text: str
    terms: tuple[Term, ...]
    background: str | None
    glyphs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wording:
    """The odds of another word than the name, of naming colour, background and count, of a prefix, and of an article.

    `all_groups` is how often all groups are named, not only some.
    """

    keyword: float = 0.3
    colour: float = 1.0
    background: float = 0.85
    count: float = 1.0
    prefix: float = 0.15
    article: float = 1.0
    all_groups: float = 1.0


FULL = Wording(keyword=0.08, background=1.0, prefix=0.1)
LOOSE = Wording(keyword=0.45, colour=0.5, background=0.3, count=0.5, prefix=0.2, all_groups=0.7)
# The few words with which people begin a search: "dog", "a puppy", "red car".
BARE = Wording(keyword=0.5, colour=0.25, background=0.08, count=0.15, prefix=0.05, article=0.5, all_groups=0.3)
EXACT = Wording(keyword=0.0, background=1.0, prefix=0.0)


class Captioner:
    """Describes scenes; `own_colours` is the (S, G, 11) table of the drawings' own colours."""

    def __init__(self, vocabulary: Vocabulary, own_colours: np.ndarray) -> None:
        self.vocabulary, self.own_colours = vocabulary, own_colours

    def describe(
        self, scene: Scene, rng: np.random.Generator, wording: Wording, language: str | None = None
    ) -> Caption:
        """A caption in `language`, or in a random language."""
        language = language or str(rng.choice(LANGUAGES, p=[LANGUAGE_ODDS[lang] for lang in LANGUAGES]))
        phrases = PHRASES[language]
        said = list(scene.groups)
        if len(said) > 1:
            rng.shuffle(said)  # type: ignore[arg-type]
            if rng.random() >= wording.all_groups:
                said = said[:-1] if wording is not BARE else said[:1]
        parts, terms = zip(*(self._name(group, rng, wording, language) for group in said), strict=True)
        text = str(rng.choice(phrases.joiners)).join(parts)
        with_place = rng.random() < wording.background
        if with_place:
            text = _located(text, describe_place(scene.background, phrases, rng), rng)
        if rng.random() < wording.prefix:
            text = f"{rng.choice(phrases.prefixes)} {text}"
        named = tuple(group.glyph for group in said)
        return Caption(text, tuple(terms), scene.background if with_place else None, named)

    def describe_place(self, scene: Scene, rng: np.random.Generator) -> Caption:
        """A caption that names only the background."""
        language = str(rng.choice(LANGUAGES, p=[LANGUAGE_ODDS[lang] for lang in LANGUAGES]))
        return Caption(describe_place(scene.background, PHRASES[language], rng), (), scene.background)

    def pick_entry(self, number: int, language: str, rng: np.random.Generator) -> tuple[str, frozenset[int]]:
        """A name or another word of glyph `number`, with an article in some cases, and the glyphs that it means.

        A name means its own glyph alone: "a dog" is a dog before it is a poodle.
        """
        glyph = self.vocabulary.glyphs[number]
        if rng.random() < 0.35:
            word, whole, meaning = glyph.names[language], False, frozenset((number,))
        else:
            word, whole = pick_word(glyph, language, rng)
            meaning = self.vocabulary.caption_meanings[word]
        article = "" if whole or rng.random() < 0.5 else f"{rng.choice(PHRASES[language].articles)} "
        return _elide(f"{article}{word}"), meaning

    def _name(self, group: Group, rng: np.random.Generator, wording: Wording, language: str) -> tuple[str, Term]:
        glyph, phrases = self.vocabulary.glyphs[group.glyph], PHRASES[language]
        meanings = self.vocabulary.caption_meanings
        name = glyph.names[language]
        if rng.random() < wording.keyword:
            name, whole = pick_word(glyph, language, rng)
            if whole:
                return name, Term(meanings[name], None, ANY_COUNT)
        elif name.endswith(" face") and rng.random() < 0.4:
            name = name.removesuffix(" face")
        meaning = meanings[name]
        colour = self._colour(group, rng, wording)
        text, count = _counted(name, group.count, language, rng, wording)
        singular = count == 1 or (count == ANY_COUNT and wording is BARE)
        if colour is not None:
            text = _coloured(text, str(rng.choice(phrases.colours[colour])), phrases)
        article = str(rng.choice(phrases.articles)) + " " if singular and rng.random() < wording.article else ""
        number = (
            ""
            if count in (1, ANY_COUNT)
            else str(rng.choice(phrases.many if count == SEVERAL else phrases.numbers[count]))
        )
        return f"{number} {text}" if number else _elide(f"{article}{text}"), Term(meaning, colour, count)

    def _colour(self, group: Group, rng: np.random.Generator, wording: Wording) -> str | None:
        if group.tint is not None:
            return group.tint if rng.random() < wording.colour else None
        own = np.flatnonzero(self.own_colours[group.style, group.glyph])
        return COLOUR_NAMES[own[0]] if len(own) == 1 and rng.random() < 0.15 * wording.colour else None


# How often a word for a glyph is an everyday word, one of emojibase's keywords, a kind of things, a description.
_WORD_ODDS = {"everyday": 0.45, "clear_keywords": 0.3, "kinds": 0.17, "about": 0.08}


def pick_word(glyph: Glyph, language: str, rng: np.random.Generator) -> tuple[str, bool]:
    """(another word than the name, whether it stands as it is: a description takes no number, colour or article)."""
    tables = {name: words for name in _WORD_ODDS if (words := getattr(glyph, name).get(language))}
    if not tables:
        return glyph.names[language], False
    odds = np.array([_WORD_ODDS[name] for name in tables])
    table = str(rng.choice(list(tables), p=odds / odds.sum()))
    word = str(rng.choice(tables[table]))
    return word, table == "about" or (table == "kinds" and word.count(" ") > 1)


def _counted(name: str, count: int, language: str, rng: np.random.Generator, wording: Wording) -> tuple[str, int]:
    """(noun in the right number, count that the caption claims)."""
    if count == 1:
        return name, 1 if rng.random() < 0.6 else ANY_COUNT
    claimed = count if rng.random() < wording.count else SEVERAL if rng.random() < 0.7 else ANY_COUNT
    return (name, ANY_COUNT) if claimed == ANY_COUNT else (pluralise(name, language, rng), claimed)


def _elide(text: str) -> str:
    """`a apple` -> `an apple`."""
    return f"an {text[2:]}" if text[:2] == "a " and text[2:3] in "aeiou" else text


def _coloured(noun: str, colour: str, phrases: Phrases) -> str:
    return f"{colour} {noun}" if phrases.colour_first else f"{noun} {colour}"


def _located(text: str, where: str, rng: np.random.Generator) -> str:
    roll = rng.random()
    return f"{text} {where}" if roll < 0.85 else f"{text}, {where}" if roll < 0.95 else f"{where}, {text}"


def describe_place(background: str, phrases: Phrases, rng: np.random.Generator) -> str:
    if background in PLAIN:
        colour = str(rng.choice(phrases.colours[background.removeprefix("plain-")]))
        return str(rng.choice(phrases.on_colour)).format(colour)
    return str(rng.choice(phrases.places[background]))


def satisfies(
    captions: Sequence[Caption], scenes: Sequence[Scene], own_colours: np.ndarray, glyph_count: int
) -> np.ndarray:
    """(captions, scenes) bool: whether each caption is true of each scene."""
    groups = [group for scene in scenes for group in scene.groups]
    starts = np.cumsum([0] + [len(scene.groups) for scene in scenes[:-1]])
    true = np.ones((len(captions), len(scenes)), bool)
    terms = [term for caption in captions for term in caption.terms]
    if terms:
        in_scene = np.logical_or.reduceat(_term_fits(terms, groups, own_colours, glyph_count), starts, axis=1)
        row = 0
        for number, caption in enumerate(captions):
            true[number] = in_scene[row : row + len(caption.terms)].all(0)
            row += len(caption.terms)
    there = np.array([BACKGROUNDS.index(scene.background) for scene in scenes])
    asked = np.array([BACKGROUNDS.index(caption.background) if caption.background else -1 for caption in captions])
    return true & ((asked[:, None] == -1) | (asked[:, None] == there[None]))


def _term_fits(terms: Sequence[Term], groups: Sequence[Group], own: np.ndarray, glyph_count: int) -> np.ndarray:
    """(terms, groups) bool: whether each term is true of each group."""
    meaning = np.zeros((len(terms), glyph_count), bool)
    for row, term in enumerate(terms):
        meaning[row, list(term.glyphs)] = True
    fits = meaning[:, [group.glyph for group in groups]]
    counts = np.array([group.count for group in groups])[None]
    asked = np.array([term.count for term in terms])[:, None]
    fits &= (asked == ANY_COUNT) | (asked == counts) | ((asked == SEVERAL) & (counts > 1))
    shown = np.stack([_shown_colours(group, own) for group in groups], axis=1)
    wanted = np.array([COLOUR_NAMES.index(term.colour) if term.colour else len(COLOUR_NAMES) for term in terms])
    return fits & shown[wanted]


def _shown_colours(group: Group, own: np.ndarray) -> np.ndarray:
    """(12,) bool: the colours that a caption may name for this group; the last place stands for "any colour"."""
    shown = np.ones(len(COLOUR_NAMES) + 1, bool)
    tinted = np.array([name == group.tint for name in COLOUR_NAMES])
    shown[:-1] = own[group.style, group.glyph] if group.tint is None else tinted
    return shown
