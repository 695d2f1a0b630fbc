"""The glyphs that the demo model learns, with their names and keywords in each language.

`vocabulary.txt` lists them: everyday things that several emoji sets draw. Names come from `emojibase-data`.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LANGUAGES = ("en", "de", "fr", "es")

_LIST = Path(__file__).with_name("vocabulary.txt")


@dataclass(frozen=True)
class Glyph:
    """One emoji: `names[lang]` is its label, `keywords[lang]` its other words, all lower case."""

    hexcode: str
    label: str
    subgroup: int  # emojibase's number of a family of things, such as fruit
    names: dict[str, str]
    keywords: dict[str, tuple[str, ...]]

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
    def meanings(self) -> dict[str, frozenset[int]]:
        """word -> numbers of all glyphs that have it as a name or keyword, in any language."""
        found: dict[str, set[int]] = {}
        for number, glyph in enumerate(self.glyphs):
            for language in LANGUAGES:
                for word in (glyph.names[language], *glyph.keywords[language]):
                    found.setdefault(word, set()).add(number)
                    if word.endswith(" face"):
                        found.setdefault(word.removesuffix(" face"), set()).add(number)
        return {word: frozenset(numbers) for word, numbers in found.items()}


def load_vocabulary(emojibase: Path) -> Vocabulary:
    """Read the names of the listed labels from `emojibase-data/<language>/data.json`."""
    wanted = read_labels(_LIST.read_text("utf-8"))
    tables = {language: _by_hexcode(emojibase / language / "data.json") for language in LANGUAGES}
    glyphs = [
        _glyph(hexcode, {language: table[hexcode] for language, table in tables.items()})
        for hexcode, row in tables["en"].items()
        if row["label"] in wanted
    ]
    missing = wanted - {glyph.label for glyph in glyphs}
    if missing:
        raise KeyError(f"emojibase-data does not know: {', '.join(sorted(missing))}")
    return Vocabulary(tuple(sorted(glyphs, key=lambda glyph: glyph.hexcode)))


def read_labels(text: str) -> frozenset[str]:
    """`a | b` lines to labels; `#` starts a comment."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(label.strip() for line in lines for label in line.split("|"))


def _by_hexcode(path: Path) -> dict[str, dict]:
    return {row["hexcode"]: row for row in json.loads(path.read_text("utf-8"))}


def _glyph(hexcode: str, rows: dict[str, dict]) -> Glyph:
    names = {language: row["label"].lower().replace("’", "'") for language, row in rows.items()}
    keywords = {
        language: tuple(tag.lower() for tag in row.get("tags", ()) if tag.lower() != names[language] and len(tag) > 2)
        for language, row in rows.items()
    }
    return Glyph(hexcode, rows["en"]["label"], rows["en"]["subgroup"], names, keywords)
