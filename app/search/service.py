"""The one search: query -> minus words and folder -> vectors of its terms -> nearest pictures of one view -> hits.

Every route and command that searches makes a `Query` (`query.py`) and calls `SearchService.search`. What needs no
model any more is in `finding.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from app.catalog.view import View
from app.encoder.encoder import Encoder, Text
from app.encoder.workers import Workers
from app.errors import AppError
from app.http.addresses import Locator
from app.search.cursors import Cursors
from app.search.finding import Finder, Found
from app.search.folders import FolderChoice
from app.search.hubs import gains_by_fewer_hubs
from app.search.matching import find_matching
from app.search.minus_words import Understood, understand
from app.search.net import find_with_net
from app.search.pages import Pages
from app.search.pinned import LoadView, PinnedStates
from app.search.prepared import Prepared
from app.search.query import Query, Weighted, check_terms
from app.search.relevance.relevance import Relevance
from app.search.served_names import ServedNames
from app.search.together import find_nearest, groups_of
from app.settings import SearchSettings
from app.types import Hit, ImageRecord, Vectors

_Result = TypeVar("_Result")

SHORT_QUERY_CHARS = 100
"""Queries up to this length are searched for folder names on the event loop: it takes under 0.25 ms."""


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
    next_cursor: str | None = None
    """Where the next page begins; None where there is none."""
    terms: tuple[Weighted, ...] = ()
    """What was searched for, as it was understood. `Hit.parts` are in this order."""
    understood: Understood | None = None
    """What was read as minus words; None where nothing was."""


@dataclass(frozen=True, slots=True)
class MatchingAnswer:
    """All pictures that fit a query, as in `Matching`."""

    records: list[ImageRecord]
    folders: list[tuple[str, int]]
    is_whole: bool
    folder: FolderChoice | None
    generation: str
    took_ms: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query on its way to its answer."""

    started: float
    """By `time.perf_counter`."""
    query: Query
    prepared: Prepared | None = None
    """None for a later page."""
    understood: Understood | None = None

    def took_ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 2)


class SearchService:
    """Answers queries over a view. For one event loop."""

    def __init__(
        self,
        encoder: Encoder,
        locator: Locator,
        workers: Workers,
        names: ServedNames,
        relevance: Relevance,
        *,
        settings: SearchSettings,
        load_earlier: LoadView,
    ) -> None:
        """`load_earlier` gives the states of later pages where they are no longer kept."""
        self._encoder = encoder
        self._workers = workers
        self._names = names
        self._relevance = relevance
        self._may_have_fewer_hubs = settings.fewer_hubs == "auto"
        self._finder = Finder(locator, relevance)
        states = PinnedStates(load_earlier, relevance.of, most=settings.page_states, keep_s=settings.page_keep_s)
        self._pages = Pages(self._finder, states, Cursors(settings.cursor_key))

    @property
    def batch_size(self) -> int:
        """Terms that one request may let embed at the same time."""
        return self._encoder.batch_size

    async def search(self, query: Query, view: View) -> SearchAnswer:
        """The k pictures nearest to the query, in the folders asked for or else in the one that its text names.

        With `cursor`, only `k` counts of the query: the rest is that of the search that the cursor goes on with.

        Raises FolderNotFound, InvalidInput and its kinds, ImageNotFound, NotConfigured, Overloaded, Unavailable,
        VectorStoreUnavailable, and for a cursor PagesGone.
        """
        return await self._answer(await self._ask(query, view), view)

    async def matching(self, query: Query, view: View) -> MatchingAnswer:
        """All pictures that fit the query, in the folders that `search` looks in.

        Raises as `search` and as `find_matching`.
        """
        asked = await self._ask(query, view)
        assert asked.prepared is not None, "it has no pages"
        prepared, matching = await self._workers.run(find_matching, self._finder, asked.prepared, view)
        return MatchingAnswer(
            matching.records, matching.folders(), matching.is_whole, prepared.choice, view.generation, asked.took_ms(),
            matching.note,
        )  # fmt: skip

    async def search_together(self, queries: Sequence[Query], view: View) -> list[SearchAnswer | AppError]:
        """Each as `search` answers it, or its error. Plain vector searches of the same folders ask the index once."""
        asked = await asyncio.gather(*(_or_error(self._ask(query, view)) for query in queries))
        known = await self._with_nearest(asked, view)
        return await asyncio.gather(*(self._answer_or_error(each, view) for each in known))

    async def _with_nearest(self, asked: Sequence["_Asked | AppError"], view: View) -> list["_Asked | AppError"]:
        """With the nearest pictures of what can be searched together. Where that fails, each fails by itself."""
        prepared = {
            place: each.prepared for place, each in enumerate(asked) if isinstance(each, _Asked) and each.prepared
        }
        groups = list(groups_of(prepared, view))
        found = await asyncio.gather(
            *(
                _or_error(self._workers.run(find_nearest, [prepared[place] for place in group], view))
                for group in groups
            )
        )
        known = list(asked)
        for group, each in zip(groups, found, strict=True):
            if not isinstance(each, AppError):
                for place, with_nearest in zip(group, each, strict=True):
                    known[place] = replace(cast(_Asked, asked[place]), prepared=with_nearest)
        return known

    async def _ask(self, query: Query, view: View) -> "_Asked":
        started = time.perf_counter()
        if query.cursor is not None:
            return _Asked(started, query)
        query, understood = understand(query, exclude=self._relevance.is_ready and query.mode != "words")
        check_terms(query.terms)
        return _Asked(started, query, await self._prepare(query, view), understood)

    async def _answer(self, asked: "_Asked", view: View) -> SearchAnswer:
        query, understood = asked.query, asked.understood
        if query.cursor is not None:
            return await self._next_page(query.cursor, query.k, view, asked)
        assert asked.prepared is not None
        prepared, found, next_cursor = await self._workers.run(self._first_page, asked.prepared, view, understood)
        return SearchAnswer(
            found.hits, prepared.choice, view.generation, asked.took_ms(), found.good_match, found.note, next_cursor,
            terms=prepared.query.terms, understood=understood,
        )  # fmt: skip

    async def _answer_or_error(self, asked: "_Asked | AppError", view: View) -> SearchAnswer | AppError:
        return asked if isinstance(asked, AppError) else await _or_error(self._answer(asked, view))

    def _first_page(
        self, prepared: Prepared, view: View, understood: Understood | None
    ) -> tuple[Prepared, Found, str | None]:
        prepared, found = find_with_net(lambda asked: self._finder.find(asked, view), prepared)
        return prepared, found, self._pages.cursor_after(found, prepared, view, understood)

    async def _next_page(self, text: str, k: int, view: View, asked: "_Asked") -> SearchAnswer:
        cursor = self._pages.read(text, view)
        cursor = replace(cursor, prepared=await self._with_texts(cursor.prepared, view))
        page = await self._workers.run(self._pages.following, cursor, k, view)
        return SearchAnswer(
            page.hits, page.prepared.choice, page.generation, asked.took_ms(), page.good_match, page.note,
            page.next_cursor, terms=page.prepared.query.terms, understood=page.understood,
        )  # fmt: skip

    async def _with_texts(self, prepared: Prepared, view: View) -> Prepared:
        """With the vectors of its texts, which a cursor does not have."""
        terms = prepared.query.terms
        encoded = iter(await self._vectors([each for each in terms if isinstance(each.term, Text)], view))
        vectors = (
            next(encoded) if isinstance(each.term, Text) else vector
            for each, vector in zip(terms, prepared.vectors, strict=True)
        )
        return replace(prepared, vectors=tuple(vectors))

    async def _prepare(self, query: Query, view: View) -> Prepared:
        choice = await self._folder_choice(query, view)
        if query.text and choice and choice.embedded_text:
            query = query.with_text(choice.embedded_text)
        vectors = tuple(await self._vectors(query.terms, view))
        fewer_hubs = self._may_have_fewer_hubs and self._relevance.is_ready and gains_by_fewer_hubs(query, view)
        return Prepared(query, choice, vectors, fewer_hubs)

    async def _vectors(self, terms: Sequence[Weighted], view: View) -> list[Vectors]:
        """(D,) unit length, of each term. Several are made at the same time, as many as one request may."""
        vectors: list[Vectors] = []
        for first in range(0, len(terms), self._encoder.batch_size):
            some = terms[first : first + self._encoder.batch_size]
            if len(some) == 1:
                vectors.append(await self._encoder.encode(some[0].term, view))
            else:
                vectors += await asyncio.gather(*(self._encoder.encode(each.term, view) for each in some))
        return vectors

    async def _folder_choice(self, query: Query, view: View) -> FolderChoice | None:
        """Runs on the event loop where that is faster than to wait for a thread."""
        looks_for_name = query.auto_folder and bool(query.text)
        is_quick = len(query.text) <= SHORT_QUERY_CHARS and self._names.ready(view) is not None
        if not query.folders and (is_quick or not looks_for_name):
            return self._choose_folder(query, view)
        return await self._workers.run(self._choose_folder, query, view)

    def _choose_folder(self, query: Query, view: View) -> FolderChoice | None:
        asked = query.folders if all(folder.strip("/ ") for folder in query.folders) else ()
        if asked:
            names = self._names.of(view)
            path, *also = dict.fromkeys(names.resolve(folder) for folder in asked)
            return FolderChoice(path, "asked", also=tuple(also), embedded_text=query.text or None)
        return self._names.of(view).detect(query.text) if query.auto_folder and query.text else None


async def _or_error(call: Awaitable[_Result]) -> _Result | AppError:
    try:
        return await call
    except AppError as error:
        return error
