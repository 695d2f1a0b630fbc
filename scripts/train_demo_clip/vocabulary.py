"""The glyphs that the demo model learns, with their names and keywords in each language.

`vocabulary.txt` lists them: everyday things that several emoji sets draw. Their names come from `emojibase-data`;
`words.txt` adds what people type ("puppy"), `kinds.txt` the words that fit many things ("something to drink").
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

LANGUAGES = ("en", "de", "fr", "es")

_LIST, _WORDS, _KINDS = (Path(__file__).with_name(f"{name}.txt") for name in ("vocabulary", "words", "kinds"))

Words = dict[str, tuple[str, ...]]  # language -> words


@dataclass(frozen=True)
class Glyph:
    """One emoji: `names[lang]` is its label, `keywords[lang]` its other words, all lower case.

    `everyday` holds the words that people type, `kinds` those that fit other things too, `about` short descriptions.
    `clear_keywords` are the keywords that are no other thing's name: emojibase calls a bone "dog" and a bus "school".
    """

    hexcode: str
    label: str
    subgroup: int  # emojibase's number of a family of things, such as fruit
    names: dict[str, str]
    keywords: Words
    everyday: Words = field(default_factory=dict)
    kinds: Words = field(default_factory=dict)
    about: Words = field(default_factory=dict)
    clear_keywords: Words = field(default_factory=dict)

    def words(self, language: str, keywords: str = "keywords") -> Iterator[str]:
        """All words of this thing in a language, its name first; `keywords` says which of emojibase's."""
        yield self.names[language]
        for table in (getattr(self, keywords), self.everyday, self.kinds, self.about):
            yield from table.get(language, ())

    @property
    def slug(self) -> str:
        """`man’s shoe` -> `mans-shoe`, as icon sets name their files."""
        return slugify(self.label)


def slugify(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower().replace("’", "").replace("ñ", "n").replace(".", "")).strip("-")


@dataclass(frozen=True)
class Vocabulary:
    """All glyphs in a fixed order; a glyph's number is its place in `glyphs`."""

    glyphs: tuple[Glyph, ...]

    @cached_property
    def by_label(self) -> dict[str, int]:
        return {glyph.label: number for number, glyph in enumerate(self.glyphs)}

    @cached_property
    def keyword_meanings(self) -> dict[str, frozenset[int]]:
        """word -> numbers of all glyphs that have it as a name or keyword of emojibase, in any language."""
        found: dict[str, set[int]] = {}
        for number, glyph in enumerate(self.glyphs):
            for language in LANGUAGES:
                for word in (glyph.names[language], *glyph.keywords[language]):
                    found.setdefault(word, set()).add(number)
        return {word: frozenset(numbers) for word, numbers in found.items()}

    @cached_property
    def meanings(self) -> dict[str, frozenset[int]]:
        """word -> numbers of all glyphs that have it, in any language."""
        return self._meanings("keywords")

    @cached_property
    def caption_meanings(self) -> dict[str, frozenset[int]]:
        """word -> numbers of all glyphs that a caption with it may mean."""
        return self._meanings("clear_keywords")

    def _meanings(self, keywords: str) -> dict[str, frozenset[int]]:
        found: dict[str, set[int]] = {}
        for number, glyph in enumerate(self.glyphs):
            for language in LANGUAGES:
                for word in glyph.words(language, keywords):
                    found.setdefault(word, set()).add(number)
                    if word.endswith(" face"):
                        found.setdefault(word.removesuffix(" face"), set()).add(number)
        return {word: frozenset(numbers) for word, numbers in found.items()}


def load_vocabulary(emojibase: Path) -> Vocabulary:
    """Read the names of the listed labels from `emojibase-data/<language>/data.json`."""
    wanted = read_labels(_LIST.read_text("utf-8"))
    everyday, about = read_words(_WORDS.read_text("utf-8"))
    kinds = read_kinds(_KINDS.read_text("utf-8"))
    unknown = (everyday.keys() | kinds.keys()) - wanted
    if unknown:
        raise KeyError(f"words.txt or kinds.txt name what vocabulary.txt does not have: {', '.join(sorted(unknown))}")
    tables = {language: _by_hexcode(emojibase / language / "data.json") for language in LANGUAGES}
    glyphs = [
        replace(
            _glyph(hexcode, {language: table[hexcode] for language, table in tables.items()}),
            everyday=everyday.get(row["label"], {}),
            kinds=kinds.get(row["label"], {}),
            about=about.get(row["label"], {}),
        )
        for hexcode, row in tables["en"].items()
        if row["label"] in wanted
    ]
    missing = wanted - {glyph.label for glyph in glyphs}
    if missing:
        raise KeyError(f"emojibase-data does not know: {', '.join(sorted(missing))}")
    return Vocabulary(with_clear_keywords(sorted(glyphs, key=lambda glyph: glyph.hexcode)))


def with_clear_keywords(glyphs: Sequence[Glyph]) -> tuple[Glyph, ...]:
    """The glyphs with the keywords that are no name of another one."""
    names = {language: {glyph.names[language] for glyph in glyphs} for language in LANGUAGES}
    return tuple(
        replace(
            glyph,
            clear_keywords={
                language: tuple(word for word in words if word not in names[language])
                for language, words in glyph.keywords.items()
            },
        )
        for glyph in glyphs
    )


def read_labels(text: str) -> frozenset[str]:
    """`a | b` lines to labels; `#` starts a comment."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(label.strip() for line in lines for label in line.split("|"))


def read_words(text: str) -> tuple[dict[str, Words], dict[str, Words]]:
    """`label | en: a, b | de: c | about: phrase; phrase` lines to (label -> words, label -> English descriptions)."""
    everyday, about = {}, {}
    for line in _content(text):
        label, *columns = (part.strip() for part in line.split("|"))
        table = dict(_column(column) for column in columns)
        about[label] = {"en": table.pop("about", ())}
        everyday[label] = table
    return everyday, about


def read_kinds(text: str) -> dict[str, Words]:
    """`en: a, b | de: c = label, label` lines to label -> words of all its kinds."""
    kinds: dict[str, Words] = {}
    for line in _content(text):
        columns, _, labels = line.rpartition("=")
        for label in _split(labels):
            own = kinds.setdefault(label, {})
            for language, words in map(_column, columns.split("|")):
                own[language] = (*own.get(language, ()), *words)
    return kinds


def _content(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _column(text: str) -> tuple[str, tuple[str, ...]]:
    """`en: a, b` -> ("en", ("a", "b"))."""
    head, _, words = text.partition(":")
    return head.strip(), _split(words.lower())


def _split(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in re.split("[,;]", words) if word.strip())


def _by_hexcode(path: Path) -> dict[str, dict]:
    return {row["hexcode"]: row for row in json.loads(path.read_text("utf-8"))}


def _glyph(hexcode: str, rows: dict[str, dict]) -> Glyph:
    names = {language: row["label"].lower().replace("’", "'") for language, row in rows.items()}
    keywords = {
        language: tuple(tag.lower() for tag in row.get("tags", ()) if tag.lower() != names[language] and len(tag) > 2)
        for language, row in rows.items()
    }
    return Glyph(hexcode, rows["en"]["label"], rows["en"]["subgroup"], names, keywords)
