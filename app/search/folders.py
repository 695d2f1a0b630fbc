"""Which folder a query means: the folder asked for by its path, or the one that its words point at.

`names.py` says which names a folder has, `pointing.py` when a query points at one. The clearest pointing wins, then the
longest name: most words, then most letters, then the earliest. Among folders of that name, the one spelled as in the
query wins. If several are still equal, such as `a/cats` and `b/cats`, all of them are searched.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rapidfuzz import fuzz, process

from app.errors import FolderNotFound
from app.search.names import Match, NameTree, compose, fold
from app.search.pointing import Pointing, Sentence
from app.types import ancestors_of

LEAST_SIMILARITY = 60
"""Percent of the letters that a folder shares, in order, with the one asked for, to be named in its place."""

_Groups: TypeAlias = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """The folder that a query means, and why."""

    path: str
    source: Literal["asked", "detected"]
    words: tuple[str, ...] = ()
    """The words of the query that name the folder, as they were written."""
    also: tuple[str, ...] = ()
    """More folders that are searched too: of the same name, or asked for as well."""
    embedded_text: str | None = None
    """The text that is left for the model."""
    is_all: bool = False
    """Whether the text says nothing else than the folder's name."""
    widened: bool = False
    """Everything was searched instead: the folder was only guessed, and the rest is clearly better (`net.py`)."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The folders that are searched; none: everywhere."""
        return () if self.widened else self.named

    @property
    def named(self) -> tuple[str, ...]:
        """The folders that were asked for or detected."""
        return (self.path, *self.also)


@dataclass(frozen=True, slots=True)
class _Found:
    """A name in the query that points at its folders."""

    match: Match
    pointing: Pointing
    named: str
    """The name as it is written in the query."""

    @property
    def rank(self) -> tuple[int, int, int, int, int]:
        """Smaller is better."""
        match = self.match
        return self.pointing, match.first - match.last, -len(self.named), match.first, match.inflected


class FolderNames:
    """The names of the folders of one view. Immutable."""

    def __init__(self, folders: Collection[str], before: "FolderNames | None" = None) -> None:
        """`before` are the names of an earlier state: only what changed since is made anew."""
        self._folders = frozenset(folders) - {""}
        self._below = _counted(before, self._folders)
        """For each folder, how many folders with pictures it is or has below it."""
        existed = before._below.keys() if before else set[str]()
        added, removed = self._below.keys() - existed, existed - self._below.keys()
        self._names: NameTree = (before._names if before else NameTree()).changed(added, removed)
        self._by_path: _Groups = _regrouped(before._by_path if before else {}, fold, added, removed)
        self._by_last: _Groups = _regrouped(before._by_last if before else {}, _folded_last, added, removed)

    @property
    def paths(self) -> Collection[str]:
        """Every folder, also those that have pictures only further below."""
        return self._below.keys()

    def resolve(self, asked: str) -> str:
        """The folder asked for, as it is stored. Slashes around it are ignored.

        Case and the way accents are stored may differ, if only one folder matches then.
        Raises FolderNotFound, which names similar folders.
        """
        path = "/".join(part for part in asked.strip().split("/") if part)
        for exact in (asked, "/".join(part for part in asked.split("/") if part), path):
            if exact in self._below:
                return exact
        same_letters = self._by_path.get(fold(path), ())
        same_case = [known for known in same_letters if compose(known) == compose(path)]
        for found in (same_case, same_letters):
            if len(found) == 1:
                return found[0]
        raise FolderNotFound(f"No indexed picture lies in the folder {path!r}.{self._hint(path)}")

    def detect(self, query: str) -> FolderChoice | None:
        """The folder that the query points at, or None. The time grows with the length of the query only."""
        sentence = Sentence(compose(query))
        found = list(self._found(sentence))
        if not found:
            return None
        best = min(found, key=lambda one: one.rank)
        equal = {folder for one in found if one.rank == best.rank for folder in one.match.folders}
        path, *also = _outermost(sorted(_as_spelled(equal, best.named), key=lambda folder: (folder.count("/"), folder)))
        rest = sentence.without(best.match.first, best.match.last)
        words = tuple(best.named.split())
        return FolderChoice(path, "detected", words, tuple(also), rest, is_all=rest == sentence.text)

    def _found(self, sentence: Sentence) -> Iterator[_Found]:
        words = sentence.words
        for match in self._names.matches(sentence.text, words):
            pointing = sentence.pointing(match.first, match.last)
            if pointing is not None:
                named = sentence.text[words[match.first].start : words[match.last - 1].end]
                yield _Found(match, pointing, named)

    def _hint(self, path: str) -> str:
        """A sentence with up to three folders whose path, or last segment, is similar."""
        called = [*self._by_path, *self._by_last]
        near = process.extract(fold(path), called, scorer=fuzz.ratio, limit=3, score_cutoff=LEAST_SIMILARITY)
        like = (folder for name, _, _ in near for folder in self._by_path.get(name) or self._by_last[name][:1])
        folders = list(dict.fromkeys(like))[:3]
        return f" Did you mean {', '.join(map(repr, folders))}?" if folders else " GET /api/v1/folders lists them all."


def _counted(before: FolderNames | None, folders: frozenset[str]) -> dict[str, int]:
    """`FolderNames._below` of these folders, from that of an earlier state."""
    below = dict(before._below) if before else {}
    known = before._folders if before else frozenset()
    for changed, step in ((folders - known, 1), (known - folders, -1)):
        for folder in changed:
            for path in (*ancestors_of(folder), folder):
                below[path] = below.get(path, 0) + step
                if not below[path]:
                    del below[path]
    return below


def _regrouped(groups: _Groups, key_of: Callable[[str], str], added: Iterable[str], removed: Iterable[str]) -> _Groups:
    """The groups with and without these folders. Each folder stands under its `key_of`."""
    coming, going = _grouped(added, key_of), _grouped(removed, key_of)
    changed = dict(groups)
    for key in coming.keys() | going.keys():
        members = {*groups.get(key, ()), *coming.get(key, ())}.difference(going.get(key, ()))
        if members:
            changed[key] = tuple(sorted(members))
        else:
            del changed[key]
    return changed


def _grouped(folders: Iterable[str], key_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for folder in folders:
        groups[key_of(folder)].append(folder)
    return dict(groups)


def _folded_last(folder: str) -> str:
    return fold(folder.rpartition("/")[2])


def _as_spelled(folders: Iterable[str], named: str) -> Iterator[str]:
    """Of folders that differ in case only, the one spelled as in the query; all of them if none is."""
    for alike in _grouped(folders, fold).values():
        yield from [folder for folder in alike if compose(folder).endswith(named)] or alike


def _outermost(folders: list[str]) -> list[str]:
    """The folders that lie in none of the others, in the given order."""
    all_of_them = set(folders)
    return [folder for folder in folders if all_of_them.isdisjoint(ancestors_of(folder))]
