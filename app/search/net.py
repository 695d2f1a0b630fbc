"""A net under folder detection: whether everything is searched although a query seems to name a folder.

Where nothing in a guessed folder is relevant, the same vector is searched everywhere too. If that is clearly better, it
is the answer, and the answer says so. Other searches cost nothing more. `scripts.bench_net` measures the rule.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from app.search.finding import Found, Ranking
from app.search.folders import FolderChoice
from app.search.prepared import Prepared
from app.search.relevance.relevance import LEAST_RELEVANCE

LEAST_GAIN: Final = 0.25
"""In relevance. A relevant picture outside is clearly better from here on."""


Answer = TypeVar("Answer", Found, Ranking)


def find_with_net(find: Callable[[Prepared], Answer], prepared: Prepared) -> tuple[Prepared, Answer]:
    """What `find` finds in the folder of the query, or everywhere, and the query of it. Raises as `find`."""
    found = find(prepared)
    choice = prepared.choice
    if choice is None or not _is_doubtful(choice, found):
        return prepared, found
    inside = found.best_relevance or 0.0
    wider = replace(prepared, choice=replace(choice, widened=True))
    everywhere = find(wider)
    if not is_clearly_better(everywhere.best_relevance or 0.0, inside):
        return prepared, found
    notes = filter(None, (_note(choice), everywhere.note))
    return wider, replace(everywhere, note=" ".join(notes))


def is_clearly_better(outside: float, inside: float, margin: float = LEAST_GAIN) -> bool:
    """Whether the folder should be left, by the best relevance in the whole library and in the folder."""
    return inside < LEAST_RELEVANCE <= outside and outside >= inside + margin


def _is_doubtful(choice: FolderChoice, found: Found | Ranking) -> bool:
    """Whether the folder was only guessed, and nothing in it fits what else the text says, by vector or by words."""
    return (
        choice.source == "detected"
        and not choice.is_all
        and not found.good_match
        and found.best_relevance is not None
        and found.best_relevance < LEAST_RELEVANCE
    )


def _note(choice: FolderChoice) -> str:
    names = " and ".join(map(repr, choice.named))
    return (
        f"Everything was searched: the query seems to name {names}, but nothing there fits, and other pictures do. "
        "Give the folder as `folder` to search only there."
    )
