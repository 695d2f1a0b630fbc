"""Which folder a query means: the folder asked for by its path, or the one whose name is among the words.

A folder has several names: its last segment, its last two segments, and so on up to its whole path. Case, hyphens,
underscores, camel case, singular and plural, and the way accents are stored do not matter. Word boundaries do.

The longest name in the query wins: most words, then most letters, then the earliest. Among folders of that name, the
one spelled as in the query wins. If several are still equal, such as `a/cats` and `b/cats`, all of them are searched.
Single letters and names that consist of filler words, such as `photos`, are never detected: nearly every query has
them.
"""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from app.errors import FolderNotFound
from app.search.inflection import forms_of
from app.types import ancestors_of

_Item = TypeVar("_Item")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


CONNECTORS = _set(
    "a an the my our your his her their this that these those some all any every only in at on from of over under by "
    "near with into inside within for to across along around and or"
)
"""Words before a folder's name that have no use when the name is cut out: `sunset at the (beach)`."""

CONTAINERS = _set("folder folders directory directories album albums collection collections category")

FILLER = (
    CONNECTORS
    | CONTAINERS
    | _set(
        "show find search get give display list see view look looking want need would like please can could i me us we "
        "you it is are there have has do does what which where more photo photos picture pictures image images pic "
        "pics photograph photographs photography snapshot snapshots"
    )
)
"""Words that do not describe what a picture shows."""

_MARK = "\ue000"
"""Replaces every combining mark (Unicode's categories M) while words are looked for."""

_LETTERS = rf"[^\W_](?:[^\W_]|{_MARK})*"
_WORD = re.compile(rf"{_LETTERS}(?:['’]{_LETTERS})*")
_CAMEL_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])")
_POSSESSIVE = re.compile(r"['’]s$")
_LOOSE_APOSTROPHE = re.compile(r"^['’](?=\s|$)")
_PUNCTUATION = " ,;:-_/&+"
"""Removed, like connectors, at the place where a folder's name was cut out."""


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """The folder that a search looks in, and why."""

    path: str
    source: Literal["asked", "detected"]
    words: tuple[str, ...] = ()
    """The words of the query that name the folder, as they were written."""
    also: tuple[str, ...] = ()
    """More folders of the same name, which are searched too."""
    embedded_text: str | None = None
    """The text that is left for the model."""

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, *self.also)


@dataclass(frozen=True, slots=True)
class _Word:
    """A normalised word, and its place in the text."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class _Node:
    """A node in the tree of all names. The words from the root to a node are a name, or the beginning of one."""

    word: str = ""
    """As the folder spells it."""
    after: "dict[str, list[_Node]]" = field(default_factory=dict)
    """The next nodes, under each form (singular, plural) of their word."""
    folders: list[str] = field(default_factory=list)
    """The folders with the name that ends here."""

    def child(self, word: str) -> "_Node":
        for known in self.after.get(word, ()):
            if known.word == word:
                return known
        made = _Node(word)
        for form in forms_of(word):
            self.after.setdefault(form, []).append(made)
        return made


@dataclass(frozen=True, slots=True)
class _Match:
    """A name found in the query, at the words from `first` up to `last`, exclusive."""

    folders: list[str]
    first: int
    last: int
    start: int
    end: int
    inflected: int
    """How many words differ from the spelling of the folders."""

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Smaller is better."""
        return self.first - self.last, self.start - self.end, self.first, self.inflected


class FolderNames:
    """The names of the folders of one view. Immutable."""

    def __init__(self, folders: Iterable[str]) -> None:
        self.paths = frozenset(_with_ancestors(folders))
        self._by_case = _group((_fold(path), path) for path in sorted(self.paths))
        self._names = _Node()
        self._longest = 0
        for path in sorted(self.paths):
            for words in _names_of(path):
                self._add(path, words)

    def _add(self, path: str, words: tuple[str, ...]) -> None:
        node = self._names
        for word in words:
            node = node.child(word)
            self._longest = max(self._longest, *map(len, forms_of(word)))
        if node.folders[-1:] != [path]:
            node.folders.append(path)

    def resolve(self, asked: str) -> str:
        """The folder asked for, as it is stored. Slashes around it are ignored.

        Case and the way accents are stored may differ, if only one folder matches then.
        Raises FolderNotFound, which names similar folders.
        """
        path = "/".join(part for part in asked.strip().split("/") if part)
        for exact in (asked, "/".join(part for part in asked.split("/") if part), path):
            if exact in self.paths:
                return exact
        same_letters = self._by_case.get(_fold(path), [])
        same_case = [known for known in same_letters if _compose(known) == _compose(path)]
        for found in (same_case, same_letters):
            if len(found) == 1:
                return found[0]
        raise FolderNotFound(f"No indexed picture lies in the folder {path!r}.{self._hint(path)}")

    def detect(self, query: str) -> FolderChoice | None:
        """The folder that the query names, or None. The time grows with the length of the query only."""
        query = _compose(query)
        words = _words(query)
        readings = _readings(words, query, self._longest)
        matches = [
            _Match(folders, first, last, words[first].start, words[last - 1].end, inflected)
            for first in range(len(words))
            for folders, last, inflected in _ends(self._names, readings, first)
        ]
        if not matches:
            return None
        best = min(matches, key=lambda match: match.rank)
        equal = {folder for match in matches if match.rank == best.rank for folder in match.folders}
        named = query[best.start : best.end]
        path, *also = _outermost(sorted(_as_spelled(equal, named), key=lambda folder: (folder.count("/"), folder)))
        rest = _without(query, best.start, best.end)
        return FolderChoice(path, "detected", tuple(named.split()), tuple(also), rest)

    def _hint(self, path: str) -> str:
        """A sentence with up to three folders whose path, or last segment, is similar."""
        called = dict(self._by_case)
        for candidate in sorted(self.paths):
            called.setdefault(_fold(candidate.rpartition("/")[2]), [candidate])
        near = difflib.get_close_matches(_fold(path), called, 3)
        folders = list(dict.fromkeys(folder for name in near for folder in called[name]))[:3]
        return f" Did you mean {', '.join(map(repr, folders))}?" if folders else " GET /api/v1/folders lists them all."


def _group(pairs: Iterable[tuple[str, _Item]]) -> dict[str, list[_Item]]:
    groups: defaultdict[str, list[_Item]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)


def _with_ancestors(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        if folder:
            yield from (*ancestors_of(folder), folder)


def _compose(text: str) -> str:
    """Each accent combined with its letter (NFC), as keyboards write them. File systems may store them separately."""
    return unicodedata.normalize("NFC", text)


def _fold(path: str) -> str:
    return _compose(_compose(path).casefold())


def _names_of(folder: str) -> Iterator[tuple[str, ...]]:
    """The names of the folder: its last segment, its last two segments, and so on, each in a few spellings."""
    for spell in (_split_words, _whole_words, _joined_words):
        segments = [spell(segment) for segment in _compose(folder).split("/")]
        for depth in range(1, len(segments) + 1):
            words = tuple(word for segment in segments[-depth:] for word in segment)
            if _is_telling(words):
                yield words


def _split_words(segment: str) -> list[str]:
    return [word.text for word in _words(_CAMEL_BOUNDARY.sub(" ", segment))]


def _whole_words(segment: str) -> list[str]:
    return [word.text for word in _words(segment)]


def _joined_words(segment: str) -> list[str]:
    return ["".join(_whole_words(segment))]


def _is_telling(words: tuple[str, ...]) -> bool:
    is_letter = len(words) == 1 and len(words[0]) == 1 and words[0].isascii()
    return any(words) and not is_letter and not all(word in FILLER for word in words)


def _words(text: str) -> list[_Word]:
    found = (match.span() for match in _WORD.finditer(_with_marks_alike(text)))
    return [_Word(_normalise(text[start:end]), start, end) for start, end in found]


def _with_marks_alike(text: str) -> str:
    if text.isascii():
        return text
    return "".join(_MARK if unicodedata.category(char).startswith("M") else char for char in text)


def _normalise(word: str) -> str:
    plain = _POSSESSIVE.sub("", unicodedata.normalize("NFKC", word).casefold())
    return plain.replace("'", "").replace("’", "")


def _readings(words: list[_Word], query: str, longest: int) -> list[list[tuple[str, int]]]:
    """For each word: the texts that can be read from there on, each with the number of the next word.

    These are the word itself, and the compound that begins with it (`t-shirt` is read as `tshirt`), unless the compound
    is longer than any name.
    """
    readings: list[list[tuple[str, int]]] = []
    end, letters = len(words), 0
    for first in range(len(words) - 1, -1, -1):
        after = first + 1
        if after < len(words) and query[words[first].end : words[after].start].strip("-_"):
            end, letters = after, 0
        letters += len(words[first].text)
        here = [(words[first].text, after)]
        if end > after and letters <= longest:
            here.append(("".join(word.text for word in words[first:end]), end))
        readings.append(here)
    return readings[::-1]


def _ends(
    node: _Node, readings: list[list[tuple[str, int]]], first: int, inflected: int = 0
) -> Iterator[tuple[list[str], int, int]]:
    """The names below `node` that continue with word `first`: folders, number of the next word, differing words."""
    if node.folders:
        yield node.folders, first, inflected
    if first < len(readings):
        for text, after in readings[first]:
            for child in node.after.get(text, ()):
                yield from _ends(child, readings, after, inflected + (text != child.word))


def _as_spelled(folders: Iterable[str], named: str) -> Iterator[str]:
    """Of folders that differ in case only, the one spelled as in the query; all of them if none is."""
    for variants in _group((_fold(folder), folder) for folder in folders).values():
        yield from [folder for folder in variants if _compose(folder).endswith(named)] or variants


def _outermost(folders: list[str]) -> list[str]:
    """The folders that lie in none of the others, in the given order."""
    all_of_them = set(folders)
    return [folder for folder in folders if all_of_them.isdisjoint(ancestors_of(folder))]


def _without(query: str, start: int, end: int) -> str:
    """The query without the folder's name and the connectors before it; the whole query if only filler were left."""
    left = _cut_end(query[:start])
    right = _cut_start(_LOOSE_APOSTROPHE.sub("", query[end:]), CONTAINERS)
    rest = " ".join(f"{left} {right if left else _cut_start(right, CONNECTORS)}".split())
    return rest if any(word.text not in FILLER for word in _words(rest)) else query


def _cut_end(text: str) -> str:
    end = len(text)
    for word in reversed(_words(text)):
        if word.text not in CONNECTORS:
            break
        end = word.start
    return text[:end].rstrip(_PUNCTUATION)


def _cut_start(text: str, unwanted: frozenset[str]) -> str:
    start = 0
    for word in _words(text):
        if word.text not in unwanted:
            break
        start = word.end
    return text[start:].lstrip(_PUNCTUATION)
