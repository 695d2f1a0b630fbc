"""The names of folders, and where a text has them.

A folder has several names: its last segment, its last two segments, and so on up to its whole path. Case, hyphens,
underscores, camel case, singular and plural, and the way accents are stored do not matter. Word boundaries do.
Single letters, numbers of one or two digits, and names that consist of filler words, such as `photos`, are no names:
nearly every query has them.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from app.search.inflection import forms_of
from app.search.lexicon import FILLER

_MARK = "\ue000"
"""Replaces every combining mark (Unicode's categories M) while words are looked for."""

_LETTERS = rf"[^\W_](?:[^\W_]|{_MARK})*"
_WORD = re.compile(rf"{_LETTERS}(?:['’]{_LETTERS})*")
_CAMEL_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])")
_POSSESSIVE = re.compile(r"['’]s$")

Name = tuple[str, ...]
"""Normalised words."""


@dataclass(frozen=True, slots=True)
class Word:
    """A normalised word, and its place in the text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Match:
    """A name found in a text, at the words from `first` up to `last`, exclusive."""

    folders: Collection[str]
    first: int
    last: int
    inflected: int
    """How many words differ from the spelling of the folders."""


class _Node:
    """A node in the tree of all names. The words from the root to a node are a name, or the beginning of one."""

    __slots__ = ("after", "edit", "folders", "word")

    def __init__(self, word: str, edit: object, copied: "_Node | None" = None) -> None:
        self.word = word
        """As the folder spells it."""
        self.edit = edit
        """The edit that made this node: no other may change it."""
        self.after: dict[str, tuple[_Node, ...]] = dict(copied.after) if copied else {}
        """The next nodes, under each form (singular, plural) of their word."""
        self.folders: set[str] = set(copied.folders) if copied else set()
        """The folders with the name that ends here."""


class NameTree:
    """The names of some folders. Immutable: a changed tree shares what did not change."""

    def __init__(self) -> None:
        self._root = _Node("", None)
        self._longest = 0
        """Letters of the longest word of a name."""

    def changed(self, added: Iterable[str], removed: Iterable[str]) -> "NameTree":
        """The tree with and without the names of these folders. The cost grows with their number."""
        made, edit = NameTree(), object()
        made._root = _Node("", edit, self._root)
        made._longest = self._longest
        for folder in removed:
            for name in _names_of(folder):
                _remove(made._root, edit, folder, name)
        for folder in added:
            for name in _names_of(folder):
                _add(made._root, edit, folder, name)
                made._longest = max(made._longest, *(len(form) for word in name for form in forms_of(word)))
        return made

    def matches(self, text: str, words: list[Word]) -> Iterator[Match]:
        """Every name among the words of `text`. The time grows with the length of the text only."""
        readings = _readings(words, text, self._longest)
        for first in range(len(words)):
            for folders, last, inflected in _ends(self._root, readings, first):
                yield Match(folders, first, last, inflected)


def compose(text: str) -> str:
    """Each accent combined with its letter (NFC), as keyboards write them. File systems may store them separately."""
    return unicodedata.normalize("NFC", text)


def fold(path: str) -> str:
    """Equal for paths that differ only in case and in the way accents are stored."""
    return compose(compose(path).casefold())


def words_of(text: str) -> list[Word]:
    found = (match.span() for match in _WORD.finditer(_with_marks_alike(text)))
    return [Word(_normalise(text[start:end]), start, end) for start, end in found]


def _add(root: _Node, edit: object, folder: str, name: Name) -> None:
    node = root
    for word in name:
        node = _own_child(node, edit, word)
    node.folders.add(folder)


def _remove(node: _Node, edit: object, folder: str, name: Name) -> None:
    """Nodes without folders and without next nodes are dropped too."""
    if not name:
        node.folders.discard(folder)
        return
    child = _own_child(node, edit, name[0])
    _remove(child, edit, folder, name[1:])
    if not child.folders and not child.after:
        _replace(node, name[0], ())


def _own_child(node: _Node, edit: object, word: str) -> _Node:
    """The next node for a word, which this edit may change: made, or copied from an earlier tree, where need be."""
    known = next((child for child in node.after.get(word, ()) if child.word == word), None)
    if known and known.edit is edit:
        return known
    made = _Node(word, edit, known)
    _replace(node, word, (made,))
    return made


def _replace(node: _Node, word: str, children: tuple[_Node, ...]) -> None:
    for form in forms_of(word):
        left = (*(child for child in node.after.get(form, ()) if child.word != word), *children)
        if left:
            node.after[form] = left
        else:
            node.after.pop(form, None)


def _names_of(folder: str) -> set[Name]:
    """The folder's last segment, its last two segments, and so on, each in a few spellings."""
    spelled = zip(*map(_spellings, compose(folder).split("/")), strict=True)
    return {name for segments in set(spelled) for name in _endings(segments) if _is_telling(name)}


def _endings(segments: tuple[Name, ...]) -> Iterator[Name]:
    name: Name = ()
    for segment in reversed(segments):
        name = segment + name
        yield name


@lru_cache(maxsize=4096)
def _spellings(segment: str) -> tuple[Name, Name, Name]:
    """The words of `SunSets 2`: `sun sets 2`, `sunsets 2`, `sunsets2`."""
    whole = tuple(word.text for word in words_of(segment))
    split = tuple(word.text for word in words_of(_CAMEL_BOUNDARY.sub(" ", segment)))
    return split, whole, ("".join(whole),) if whole else ()


def _is_telling(name: Name) -> bool:
    if len(name) == 1:
        (word,) = name
        if (len(word) == 1 and word.isascii()) or (len(word) <= 2 and word.isdigit()):
            return False
    return any(name) and not all(word in FILLER for word in name)


def _with_marks_alike(text: str) -> str:
    if text.isascii():
        return text
    return "".join(_MARK if unicodedata.category(char).startswith("M") else char for char in text)


def _normalise(word: str) -> str:
    plain = _POSSESSIVE.sub("", unicodedata.normalize("NFKC", word).casefold())
    return plain.replace("'", "").replace("’", "")


def _readings(words: list[Word], text: str, longest: int) -> list[list[tuple[str, int]]]:
    """For each word: the texts that can be read from there on, each with the number of the next word.

    These are the word itself, and the compound that begins with it (`t-shirt` is read as `tshirt`), unless the compound
    is longer than any name.
    """
    readings: list[list[tuple[str, int]]] = []
    end, letters = len(words), 0
    for first in range(len(words) - 1, -1, -1):
        after = first + 1
        if after < len(words) and text[words[first].end : words[after].start].strip("-_"):
            end, letters = after, 0
        letters += len(words[first].text)
        here = [(words[first].text, after)]
        if end > after and letters <= longest:
            here.append(("".join(word.text for word in words[first:end]), end))
        readings.append(here)
    return readings[::-1]


def _ends(
    node: _Node, readings: list[list[tuple[str, int]]], first: int, inflected: int = 0
) -> Iterator[tuple[Collection[str], int, int]]:
    """The names below `node` that continue with word `first`: folders, number of the next word, differing words."""
    if node.folders:
        yield node.folders, first, inflected
    if first < len(readings):
        for text, after in readings[first]:
            for child in node.after.get(text, ()):
                yield from _ends(child, readings, after, inflected + (text != child.word))
