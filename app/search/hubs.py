"""Where a search ranks with fewer hubs (`app.catalog.hubs`), and how."""

from collections.abc import Callable, Sequence

from app.catalog.hubs import depth_of, rank
from app.catalog.view import View
from app.encoder.encoder import Text
from app.search.hybrid import Match
from app.search.query import Query
from app.types import ImageRecord


def gains_by_fewer_hubs(query: Query, view: View) -> bool:
    """Whether the captions of the library gain by it, and the query is like them: texts only, searched by vector.

    `hybrid` ranks by relevance, which takes the bank into account already.
    """
    return (
        view.hubs is not None
        and view.hubs.gains
        and query.mode == "vector"
        and query.sort == "score"
        and (query.combine == "sum" or len(query.terms) == 1)
        and all(isinstance(each.term, Text) and not each.is_minus for each in query.terms)
    )


def with_fewer_hubs(
    search: Callable[[int], Sequence[tuple[ImageRecord, float]]],
    nearness: Callable[[Sequence[ImageRecord]], Sequence[float]],
    count: int,
) -> list[Match]:
    """The best `count`, with their cosines. `search(n)` are the n nearest, `nearness` is to the bank."""
    found = search(depth_of(count))
    ranked = rank([cosine for _, cosine in found], nearness([record for record, _ in found]))
    return [Match(found[place][0], score, found[place][1], None) for place, score in ranked[:count]]
