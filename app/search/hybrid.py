"""Searching by vectors and by words at once: the best candidates of both, on one scale.

Both searches give their best candidates. Those that only one of them found get the score of the other one too, so the
fusion compares whole scores.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from app.catalog.view import View
from app.errors import IndexNotReady
from app.search.fusion import fuse_ranks, fuse_scores
from app.search.query import Fusion
from app.types import Ids, ImageRecord, Vectors, row_id
from app.words.index import NOTHING, WordHits

CANDIDATES: Final = 100
"""Of each search, at least. Pictures further behind in both can't come to the front."""

LOST: Final = (
    "How near some pictures are that the words found is not known: the vector server has lost some of their vectors. "
    "`image2search index --rebuild` brings them back."
)

Relevances: TypeAlias = Callable[[Sequence[tuple[ImageRecord, float]]], Sequence[float]]
"""The relevance, 0 to 1, of pictures with their cosines."""


class Match(NamedTuple):
    """A picture that a search found."""

    record: ImageRecord
    score: float
    """By which the pictures are ordered, 0 to 1; those that are called like the query come first."""
    cosine: float | None
    """None where no vector was searched for, or the picture has none."""
    relevance: float | None
    """0 to 1; None where it is not known."""
    words: float | None = None
    """How well name, folder, caption and tags fit, 0 to 1 (`app.words.index`); None where they were not searched."""
    is_named: bool = False
    """Whether the picture is called like the query."""
    words_had: float = 0.0
    """Which part of the query's words it has, by their idf, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found."""

    found: list[Match]
    problem: str | None = None
    """Why the words could not be searched, so that the vectors alone decided."""


def search_words(
    view: View,
    text: str,
    vector: Vectors,
    k: int,
    folders: Collection[str] = (),
    *,
    among: Ids | None = None,
    relevances: Relevances | None,
) -> Matches:
    """The k pictures that the words of a text find; its vector (D,) says how they score.

    Raises IndexNotReady while the words of an old index are read, and VectorStoreUnavailable.
    """
    hits, named, _, had = view.search_words(text, k, folders=folders, among=among)
    rows = [row for row, _ in hits]
    records = dict(zip(rows, view.records_of(rows), strict=True))
    cosines = _cosines(view, rows, vector)
    known = relevances([(records[row], cosine) for row, cosine in cosines.items()]) if relevances else []
    relevance = dict(zip(cosines, known, strict=True)) if relevances else {}
    return Matches(
        [
            Match(records[row], score, cosines.get(row), relevance.get(row), score, row in named, had[row])
            for row, score in hits
        ],
        LOST if rows and not cosines else None,
    )


def search_both(
    view: View,
    text: str,
    vector: Vectors,
    k: int,
    folders: Collection[str] = (),
    *,
    among: Ids | None = None,
    relevances: Relevances | None,
    fusion: Fusion = "scores",
) -> Matches:
    """The k pictures that a text and its vector (D,) find together. Raises VectorStoreUnavailable.

    Scores can be combined only where relevances are known; without them the ranks are.
    """
    depth = max(k, CANDIDATES)
    by_vector = view.search(vector, depth, folders=folders, among=among)
    cosines = {row_id(record.image_id): cosine for record, cosine in by_vector}
    records = {row_id(record.image_id): record for record, _ in by_vector}
    words, problem = _words(view, text, depth, folders, among=among, also=list(cosines))
    by_words = [row for row, _ in words.hits]
    only_words = [row for row in by_words if row not in cosines]
    records |= dict(zip(only_words, view.records_of(only_words), strict=True))
    by_vectors = list(cosines)
    others = _cosines(view, only_words, vector)
    if only_words and not others:
        problem = LOST
    cosines |= others
    known = relevances([(records[row], cosine) for row, cosine in cosines.items()]) if relevances else []
    relevance = dict(zip(cosines, known, strict=True)) if relevances else {}
    fits = words.others | dict(words.hits)
    if fusion == "scores" and relevances:
        ranking = fuse_scores(relevance, fits, words.named)
    else:
        ranking = fuse_ranks(by_vectors, by_words, words.named)
    found = [
        Match(
            records[row],
            score,
            cosines.get(row),
            relevance.get(row),
            fits.get(row, 0.0),
            row in words.named,
            words.had.get(row, 0.0),
        )
        for row, score in ranking[:k]
    ]
    return Matches(found, problem)


def _words(
    view: View, text: str, depth: int, folders: Collection[str], *, among: Ids | None, also: Sequence[int]
) -> tuple[WordHits, str | None]:
    """What the words find, or why they can't be searched now."""
    try:
        return view.search_words(text, depth, folders=folders, among=among, also=also), None
    except IndexNotReady as error:
        return NOTHING, str(error)


def _cosines(view: View, rows: Sequence[int], vector: Vectors) -> dict[int, float]:
    """The cosine of each row. Empty where a vector server has lost one of them: the words alone count for them then."""
    if not rows:
        return {}
    try:
        return dict(zip(rows, (view.vectors_of(rows) @ vector).tolist(), strict=True))
    except KeyError:
        return {}
