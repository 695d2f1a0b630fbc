"""A wish to an answer: its words rewritten where a rewriter is set, its terms composed and searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import AppError, RewriteFailed
from app.http.problems import reason_of
from app.sessions.composing import WEIGHTS, QueryTerm, Sent, Weights, compose
from app.sessions.ports import Asked, Find, Found, Rewrite
from app.sessions.session import Wish
from app.types import Hit

NOT_REWRITTEN: Final = "The query was not rewritten; its words are searched as they are. "


@dataclass(frozen=True, slots=True)
class Answer:
    """What a turn found."""

    hits: Sequence[Hit]
    query: tuple[QueryTerm, ...]
    """As it was understood."""
    generation: str
    took_ms: float
    """Of the search alone."""
    rewritten: str | None = None
    good_match: bool | None = None
    note: str | None = None
    turn: int = 0


class Answering:
    """Answers wishes. For one event loop."""

    def __init__(
        self, find: Find, workers: Workers, rewrite: Rewrite | None = None, weights: Weights = WEIGHTS
    ) -> None:
        """Without `rewrite`, words are searched as they were typed."""
        self._find, self._workers, self._rewrite, self._weights = find, workers, rewrite, weights

    async def answer(self, wish: Wish, uploads: Mapping[str, Sent], view: View) -> Answer:
        """The pictures that fit, without the rejected ones. `uploads` has those that the wish names, by id.

        Raises ImageNotFound, and as the search.
        """
        rewritten, note = await self._rewritten(wish, uploads, view)
        return await self.repeat(wish, rewritten, uploads, view, note=note)

    async def repeat(
        self, wish: Wish, rewritten: str | None, uploads: Mapping[str, Sent], view: View, *, note: str | None = None
    ) -> Answer:
        """As `answer`, for words that were rewritten before."""
        composed = await self._workers.run(partial(compose, wish, rewritten, uploads, view, self._weights))
        rejected = set(wish.rejected)
        asked = Asked(composed.terms, wish.k + len(rejected), wish.folders, composed.left_out)
        found: Found = await self._find(asked, view)
        hits = [hit for hit in found.hits if hit.record.image_id not in rejected][: wish.k]
        notes = " ".join(filter(None, (note, composed.note, found.note)))
        return Answer(hits, composed.shown, found.generation, found.took_ms, rewritten, found.good_match, notes or None)

    async def _rewritten(self, wish: Wish, uploads: Mapping[str, Sent], view: View) -> tuple[str | None, str | None]:
        """The query as the rewriter writes it, and what there is to say of it. A first text or picture alone stays."""
        if self._rewrite is None:
            return None, None
        sent = [uploads[each].caption for each in wish.upload_ids]
        captions = [caption for caption in (*sent, *_captions_of_picked(wish, view)) if caption]
        if not wish.sentences and not (wish.text and captions):
            return None, None
        try:
            return await self._rewrite(wish.text, wish.sentences, captions), None
        except RewriteFailed as error:
            return None, NOT_REWRITTEN + str(error)
        except AppError as error:
            return None, NOT_REWRITTEN + reason_of(error)


def _captions_of_picked(wish: Wish, view: View) -> list[str | None]:
    return [view.record(each).caption for each in wish.picked if each in view]
