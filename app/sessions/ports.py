"""What a session needs from other parts of the house. `app.bootstrap` hands it over."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.catalog.view import View
from app.encoder.encoder import Term
from app.types import Hit


@dataclass(frozen=True, slots=True)
class Asked:
    """A search for terms, each with its weight; a negative weight takes the term away."""

    terms: tuple[tuple[Term, float], ...]
    k: int
    folders: tuple[str, ...] = ()
    """Search only in and below these; none: everywhere."""
    left_out: tuple[Term, ...] = ()
    """Of the terms. Pictures that are relevant to one of these are not shown, where relevance is known."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    hits: Sequence[Hit]
    generation: str
    took_ms: float
    good_match: bool | None = None
    note: str | None = None


class Find(Protocol):
    """The one search of the house. Raises AppError."""

    async def __call__(self, asked: Asked, view: View) -> Found: ...


Describe: TypeAlias = Callable[[bytes], Awaitable[str | None]]
"""What a captioner says of a picture file; None where it fails, with the reason in the log."""


class Rewrite(Protocol):
    """One caption-like query from a query, the feedback to it, and the captions of pictures that fit.

    Raises AppError, also when its time is over.
    """

    async def __call__(self, query: str, feedback: Sequence[str], captions: Sequence[str]) -> str: ...
