"""What a session remembers: its uploads and its turns. Plain data, kept as JSON by a store.

Each turn holds the whole wish of that moment, so that `undo` takes away the last turn and nothing else.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, TypeAlias

from pydantic import TypeAdapter

MAX_TURNS: Final = 50
"""The oldest turns are forgotten. Only the depth of `undo` and the history depend on it."""

MAX_FEEDBACK: Final = 8
"""Feedback terms that count together: with the query's own words and pictures, a search takes at most 16 terms."""

MAX_PICTURES: Final = 5
"""Of one query, indexed ones and those that were sent."""

MAX_JUDGED: Final = 50
"""Picked pictures, and rejected pictures. The oldest ones count no more."""

Kind: TypeAlias = Literal["search", "refine"]


@dataclass(frozen=True, slots=True)
class SignedText:
    """Words of feedback, and how much they count. A negative weight takes them away."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """A picture that was sent. Its vector and its thumbnail are files of the session in the store."""

    id: str
    caption: str | None = None
    """What the captioner says of it; None where there is no captioner, or where it failed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session looks for after a turn."""

    text: str = ""
    image_ids: tuple[str, ...] = ()
    upload_ids: tuple[str, ...] = ()
    feedback: tuple[SignedText, ...] = ()
    sentences: tuple[str, ...] = ()
    """The feedback as it was typed, the last ones."""
    picked: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    k: int = 10
    folders: tuple[str, ...] = ()

    def judged(self, picked: Sequence[str], rejected: Sequence[str]) -> Self:
        """The wish with these judgements. The latest judgement of a picture counts."""
        new = {*picked, *rejected}
        return replace(
            self,
            picked=(*(each for each in self.picked if each not in new), *picked)[-MAX_JUDGED:],
            rejected=(*(each for each in self.rejected if each not in new), *rejected)[-MAX_JUDGED:],
        )

    def with_feedback(self, sentence: str, terms: Sequence[SignedText]) -> Self:
        """The wish with one sentence of feedback more. The same words again replace their earlier weight."""
        new = {term.text.casefold() for term in terms}
        kept = [term for term in self.feedback if term.text.casefold() not in new]
        return replace(self, feedback=(*kept, *terms), sentences=(*self.sentences, sentence)[-MAX_FEEDBACK:])


@dataclass(frozen=True, slots=True)
class Turn:
    """One search or refinement, and what it showed."""

    number: int
    """From 1. No number is given twice in a session, also after `undo`."""
    kind: Kind
    at: float
    """Seconds since the epoch, UTC."""
    wish: Wish
    said: str = ""
    """The text of the search, or the feedback."""
    rewritten: str | None = None
    """The query as the rewriter wrote it; None where it was not asked, or where it failed."""
    shown: tuple[str, ...] = ()
    """Ids of the pictures in the answer, in its order."""


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one session."""

    scope: tuple[str, ...]
    """The folders of the caller who made it. Only callers with the same folders see it."""
    fingerprint: str
    """Of the model that made the vectors of the uploads."""
    uploads: tuple[UploadInfo, ...] = ()
    turns: tuple[Turn, ...] = ()
    next_turn: int = 1

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    def upload(self, upload_id: str) -> UploadInfo | None:
        return next((each for each in self.uploads if each.id == upload_id), None)

    def turn(self, number: int) -> Turn | None:
        return next((each for each in self.turns if each.number == number), None)

    def with_turn(
        self, kind: Kind, wish: Wish, said: str, *, shown: Sequence[str] = (), rewritten: str | None = None
    ) -> Self:
        """The session with one turn more."""
        turn = Turn(self.next_turn, kind, time.time(), wish, said, rewritten, tuple(shown))
        return replace(self, turns=(*self.turns, turn)[-MAX_TURNS:], next_turn=self.next_turn + 1)

    def without_last_turn(self) -> Self:
        return replace(self, turns=self.turns[:-1])

    def emptied(self) -> Self:
        """The session without uploads and turns. Turn numbers go on."""
        return replace(self, uploads=(), turns=())

    def to_json(self) -> bytes:
        return _ADAPTER.dump_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> "Session":
        """Unknown fields, of a newer version, are passed over."""
        return _ADAPTER.validate_json(data)


_ADAPTER: Final = TypeAdapter(Session)
