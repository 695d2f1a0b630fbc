"""Compounds: words that consist of two other words of the same library, as `Hundehütte` of `Hund` and `Hütte`.

No dictionary is needed: what else people wrote tells which parts are words.
"""

from collections.abc import Container, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHORTEST_PART: Final = 4
"""Letters. Shorter words are found within many words that they have nothing to do with."""

LINKS: Final = ("", "s", "es", "n", "en", "er", "e")
"""What may stand between the parts, in German and its relatives."""


def find_compounds(terms: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(C,) the numbers of compounds, and of one of their parts each; sorted by the part."""
    numbers = {term: number for number, term in enumerate(terms) if len(term) >= SHORTEST_PART and term.isalpha()}
    pairs = sorted(
        (numbers[part], number) for term, number in numbers.items() for part in compound_parts(term, numbers.keys())
    )
    found = np.array(pairs, np.int32).reshape(-1, 2)
    return found[:, 1], found[:, 0]


def compound_parts(term: str, known: Container[str]) -> tuple[str, ...]:
    """The two known words that the term consists of, the last one as long as possible; nothing where there are none."""
    for cut in range(SHORTEST_PART, len(term) - SHORTEST_PART + 1):
        last = term[cut:]
        if last in known and (first := _first_part(term[:cut], known)):
            return first, last
    return ()


def _first_part(text: str, known: Container[str]) -> str | None:
    found = (text.removesuffix(link) for link in LINKS if text.endswith(link))
    return next((part for part in found if len(part) >= SHORTEST_PART and part in known), None)
