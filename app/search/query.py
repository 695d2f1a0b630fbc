"""The one `Query`: what to look for and where. Every route and command that searches makes one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from app.catalog.filters import Filters
from app.encoder.encoder import Term, Text
from app.errors import InvalidInput

MAX_QUERY_CHARS = 2000
"""Of one text. Far more than any model reads. It bounds the cost of one query."""

MAX_TERMS = 16
"""Of one query."""

MAX_WEIGHT = 100.0
"""Of one term, with or without a minus."""

Mode: TypeAlias = Literal["vector", "words", "hybrid"]
"""What is searched: the pictures' vectors, their words (names, folders, captions, tags), or both."""

Fusion: TypeAlias = Literal["scores", "ranks"]
"""A convex combination of calibrated scores, or reciprocal ranks."""

Combine: TypeAlias = Literal["sum", "all"]
"""A picture may fit one term very well, or has to fit all of them."""

Sort: TypeAlias = Literal["score", "newest", "oldest"]

NO_FILTERS: Final = Filters()
"""Every picture fits."""


class Weighted(NamedTuple):
    """A term and what it counts."""

    term: Term
    weight: float = 1.0
    """A negative weight takes the term away from the others."""
    exclude: bool = False
    """With a negative weight: also leave out pictures that are relevant to the term."""

    @property
    def is_minus(self) -> bool:
        return self.weight < 0 or self.exclude


@dataclass(frozen=True)
class Query:
    """What to look for and where."""

    terms: tuple[Weighted, ...]
    """At least one, in any order. `Query.of` makes it from plain terms."""
    k: int = 5
    """How many pictures, at most."""
    folders: tuple[str, ...] = ()
    """Search only in and below these folders; none, or an empty one among them: everywhere."""
    auto_folder: bool = False
    """Look for a folder's name in the text, where no `folders` are given."""
    filters: Filters = NO_FILTERS
    """Search only pictures that fit. Its own `folders` are left empty."""
    caption: str = ""
    """Search only pictures whose caption has all of these words."""
    min_relevance: float = 0.0
    """Leave out pictures that are less relevant."""
    mode: Mode = "vector"
    fusion: Fusion = "scores"
    """How `hybrid` puts both together."""
    combine: Combine = "sum"
    explain: bool = False
    """Say what each term adds to each score."""
    leave_out_queried: bool = False
    """Leave out the indexed pictures that are terms themselves, and copies of the pictures that were sent."""
    minus_words: bool = False
    """Read `-word` and `not/without ...` in a text as terms to take away."""
    sort: Sort = "score"
    fold_duplicates: bool = False
    """Show one picture of each group that shows the same photo."""
    cursor: str | None = None
    """`next_cursor` of an earlier answer to this query."""

    @classmethod
    def of(cls, *terms: Term, **fields: Any) -> Self:
        """The query of these terms, each with the weight 1."""
        return cls(tuple(map(Weighted, terms)), **fields)

    @property
    def text(self) -> str:
        """The words of the query; empty unless its only plus term is a text."""
        match [each.term for each in self.terms if not each.is_minus]:
            case [Text(text)]:
                return text
            case _:
                return ""

    def with_text(self, text: str) -> Self:
        """The query with another text in place of `text`."""
        terms = (each if each.is_minus else each._replace(term=Text(text)) for each in self.terms)
        return replace(self, terms=tuple(terms))

    @property
    def is_plain(self) -> bool:
        """Whether there is one term alone, to be searched for."""
        return len(self.terms) == 1 and not self.terms[0].is_minus


def check_terms(terms: Sequence[Weighted]) -> None:
    """Raises InvalidInput for terms that can't be searched for with any vectors."""
    if not terms:
        raise InvalidInput("The query is empty. Say what to look for, or show a picture.")
    if len(terms) > MAX_TERMS:
        raise InvalidInput(f"The query has {len(terms)} terms: at most {MAX_TERMS} are searched for together.")
    for number, each in enumerate(terms):
        if not math.isfinite(each.weight) or not 0 < abs(each.weight) <= MAX_WEIGHT:
            raise InvalidInput(
                f"The weight of term {number} is {each.weight}. Give one from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, not 0."
            )
    if all(each.is_minus for each in terms):
        raise InvalidInput("All terms are taken away. Say also what to look for: a term with a positive weight.")
