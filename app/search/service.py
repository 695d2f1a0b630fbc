"""The one search: query -> folder -> vectors of its terms -> nearest pictures of one view -> hits with addresses.

Every route and command that searches makes a `Query` and calls `SearchService.search`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from app.catalog.view import View
from app.encoder.encoder import Encoder, Term, Text, unit
from app.encoder.workers import Workers
from app.errors import InvalidInput
from app.http.addresses import Locator
from app.search.folders import FolderChoice
from app.search.hybrid import Fusion, Match, Matches, search_both, search_words
from app.search.relevance.relevance import Kind, Relevance
from app.search.served_names import ServedNames
from app.types import Hit, ImageRecord, Vectors

MAX_QUERY_CHARS = 2000
"""Far more than any model reads. It bounds the cost of one query."""

GOOD_WORDS = 0.5
"""A picture whose words have half of the weight of the query's is a good match."""

SHORT_QUERY_CHARS = 100
"""Queries up to this length are searched for folder names on the event loop: it takes under 0.25 ms."""


Mode: TypeAlias = Literal["vector", "words", "hybrid"]
"""What is searched: the pictures' vectors, their words (names, folders, captions, tags), or both."""


@dataclass(frozen=True)
class Query:
    """What to look for and where."""

    terms: tuple[Term, ...]
    """At least one; several are added up."""
    k: int = 5
    """How many pictures, at most."""
    folder: str = ""
    """Search only in and below this folder; empty for everywhere."""
    auto_folder: bool = False
    """Look for a folder's name in the text, where no `folder` is given."""
    min_relevance: float = 0.0
    """Leave out pictures that are less relevant."""
    mode: Mode = "vector"
    fusion: Fusion = "scores"
    """How `hybrid` puts both together."""

    @property
    def text(self) -> str:
        """The words of the query; empty unless its only term is a text."""
        match self.terms:
            case (Text(text),):
                return text
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What a search found, in which folder and in which generation."""

    hits: list[Hit]
    folder: FolderChoice | None
    generation: str
    took_ms: float
    good_match: bool | None = None
    """False: nothing that was found fits the query. None: not known."""
    note: str | None = None
    """What the caller should know of how it was searched."""


@dataclass(frozen=True, slots=True)
class _Found:
    """As in `SearchAnswer`."""

    hits: list[Hit]
    good_match: bool | None = None
    note: str | None = None


class SearchService:
    """Answers queries over a view. For one event loop."""

    def __init__(
        self, encoder: Encoder, locator: Locator, workers: Workers, names: ServedNames, relevance: Relevance
    ) -> None:
        self._relevance = relevance
        self._encoder = encoder
        self._locator = locator
        self._workers = workers
        self._names = names

    async def search(self, query: Query, view: View) -> SearchAnswer:
        """The k pictures nearest to the query, in the folder asked for or else in the one that its text names.

        Raises FolderNotFound, InvalidInput and its kinds, ImageNotFound, NotConfigured, Overloaded, Unavailable,
        VectorStoreUnavailable.
        """
        started = time.perf_counter()
        choice = await self._folder_choice(query, view)
        terms = _embedded_terms(query, choice)
        vector = await self._vector(terms, view)
        find = self._nearest if query.mode == "vector" else partial(self._matching, _text_of(terms))
        found = await self._workers.run(find, vector, query, choice.paths if choice else (), view)
        took_ms = round((time.perf_counter() - started) * 1000, 2)
        return SearchAnswer(found.hits, choice, view.generation, took_ms, found.good_match, found.note)

    async def _vector(self, terms: tuple[Term, ...], view: View) -> Vectors:
        """(D,) the sum of the terms' vectors, at length 1."""
        if not terms:
            raise InvalidInput("The query is empty. Say what to look for, or show a picture.")
        vectors = [await self._encoder.encode(term, view) for term in terms]
        return vectors[0] if len(vectors) == 1 else unit(np.sum(vectors, axis=0))

    def _nearest(self, vector: Vectors, query: Query, folders: tuple[str, ...], view: View) -> _Found:
        found = view.search(vector, query.k, folders=folders)
        kind = _kind_of(query.terms)
        scales = self._relevance.of(view) if kind else None
        if kind is None or scales is None:
            if query.min_relevance:
                raise self._relevance.why_not()
            return _Found([self._locator.locate(record, score) for record, score in found])
        judgement = scales.judge(kind, vector, found, view)
        hits = [
            replace(self._locator.locate(record, score), relevance=relevance)
            for (record, score), relevance in zip(found, judgement.relevances, strict=True)
            if relevance >= query.min_relevance
        ]
        return _Found(hits, judgement.good_match)

    def _matching(self, text: str, vector: Vectors, query: Query, folders: tuple[str, ...], view: View) -> _Found:
        """By words, or by words and vectors. It is a good match too where half of the words' weight is found."""
        scales = self._relevance.of(view)
        if scales is None and query.min_relevance:
            raise self._relevance.why_not()
        judged: list[bool] = []

        def relevances(found: Sequence[tuple[ImageRecord, float]]) -> Sequence[float]:
            assert scales is not None
            judgement = scales.judge("text", vector, found, view)
            judged.append(judgement.good_match)
            return judgement.relevances

        search = search_words if query.mode == "words" else partial(search_both, fusion=query.fusion)
        known = relevances if scales else None
        matches: Matches = search(view, text, vector, query.k, folders, relevances=known)
        hits = [self._hit(match) for match in matches.found if (match.relevance or 0.0) >= query.min_relevance]
        is_good = any(judged) or any(match.words >= GOOD_WORDS for match in matches.found)
        return _Found(hits, is_good if scales else None, matches.problem)

    def _hit(self, match: Match) -> Hit:
        """Its score is 0 where the vector server has lost the picture's vector."""
        located = self._locator.locate(match.record, match.cosine or 0.0)
        return replace(located, relevance=match.relevance, words=round(match.words, 4))

    async def _folder_choice(self, query: Query, view: View) -> FolderChoice | None:
        """Runs on the event loop where that is faster than to wait for a thread."""
        looks_for_name = query.auto_folder and bool(query.text)
        is_quick = len(query.text) <= SHORT_QUERY_CHARS and self._names.ready(view) is not None
        if not query.folder and (is_quick or not looks_for_name):
            return self._choose_folder(query, view)
        return await self._workers.run(self._choose_folder, query, view)

    def _choose_folder(self, query: Query, view: View) -> FolderChoice | None:
        if query.folder.strip("/ "):
            path = self._names.of(view).resolve(query.folder)
            return FolderChoice(path, "asked", embedded_text=query.text or None)
        return self._names.of(view).detect(query.text) if query.auto_folder and query.text else None


def _text_of(terms: tuple[Term, ...]) -> str:
    """Raises InvalidInput."""
    match terms:
        case (Text(text),):
            return text
        case _:
            raise InvalidInput("Only a text can be searched by words. Leave out `mode`, or describe the picture.")


def _kind_of(terms: tuple[Term, ...]) -> Kind | None:
    """What the terms are; None where they are both texts and pictures."""
    are_texts = {isinstance(term, Text) for term in terms}
    return None if len(are_texts) != 1 else "text" if True in are_texts else "picture"


def _embedded_terms(query: Query, choice: FolderChoice | None) -> tuple[Term, ...]:
    """The terms of the query, without the words that only named the folder."""
    if query.text and choice and choice.embedded_text:
        return (Text(choice.embedded_text),)
    return query.terms
