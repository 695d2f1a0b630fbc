"""The one search: query -> folder -> vectors of its terms -> nearest pictures of one view -> hits with addresses.

Every route and command that searches makes a `Query` and calls `SearchService.search`.
"""

import time
from dataclasses import dataclass

import numpy as np

from app.catalog.view import View
from app.encoder.encoder import Encoder, Term, Text, unit
from app.encoder.workers import Workers
from app.errors import InvalidInput
from app.http.addresses import Locator
from app.search.folders import FolderChoice
from app.search.served_names import ServedNames
from app.types import Hit, Vectors

MAX_QUERY_CHARS = 2000
"""Far more than any model reads. It bounds the cost of one query."""

SHORT_QUERY_CHARS = 100
"""Queries up to this length are searched for folder names on the event loop: it takes under 0.25 ms."""


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


class SearchService:
    """Answers queries over a view. For one event loop."""

    def __init__(self, encoder: Encoder, locator: Locator, workers: Workers, names: ServedNames) -> None:
        self._encoder = encoder
        self._locator = locator
        self._workers = workers
        self._names = names

    async def search(self, query: Query, view: View) -> SearchAnswer:
        """The k pictures nearest to the query, in the folder asked for or else in the one that its text names.

        Raises FolderNotFound, InvalidInput and its kinds, ImageNotFound, Overloaded, Unavailable,
        VectorStoreUnavailable.
        """
        started = time.perf_counter()
        choice = await self._folder_choice(query, view)
        vector = await self._vector(_embedded_terms(query, choice), view)
        hits = await self._workers.run(self._nearest, vector, query.k, choice.paths if choice else (), view)
        took_ms = round((time.perf_counter() - started) * 1000, 2)
        return SearchAnswer(hits, choice, view.generation, took_ms)

    async def _vector(self, terms: tuple[Term, ...], view: View) -> Vectors:
        """(D,) the sum of the terms' vectors, at length 1."""
        if not terms:
            raise InvalidInput("The query is empty. Say what to look for, or show a picture.")
        vectors = [await self._encoder.encode(term, view) for term in terms]
        return vectors[0] if len(vectors) == 1 else unit(np.sum(vectors, axis=0))

    def _nearest(self, vector: Vectors, k: int, folders: tuple[str, ...], view: View) -> list[Hit]:
        return [self._locator.locate(record, score) for record, score in view.search(vector, k, folders=folders)]

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


def _embedded_terms(query: Query, choice: FolderChoice | None) -> tuple[Term, ...]:
    """The terms of the query, without the words that only named the folder."""
    if query.text and choice and choice.embedded_text:
        return (Text(choice.embedded_text),)
    return query.terms
