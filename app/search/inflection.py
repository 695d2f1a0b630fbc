"""English singular and plural of one word: a query may use one, a folder name the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import typeguard

from app.search.lexicon import ADJECTIVES

if TYPE_CHECKING:
    import inflect

SHORTEST_NOUN = 3
"""Letters. Shorter words are often pronouns and articles, which have strange plurals (`it` -> `they`)."""


@lru_cache(maxsize=65_536)
def forms_of(word: str) -> frozenset[str]:
    """The casefolded word with its plurals and its singulars: `leaf` and `leaves`, `person`, `persons` and `people`.

    A singular counts only if its own plural is the word again: rules that cut endings invent words.
    Adjectives have one form, and are the singular of no other.
    """
    if len(word) < SHORTEST_NOUN or not (word.isascii() and word.isalpha()) or word in ADJECTIVES:
        return frozenset({word})
    forms = {word, *_plurals(word)}
    singular = _engines()[0].singular_noun(word)
    if singular and singular not in ADJECTIVES and word in _plurals(singular):
        forms |= {singular, *_plurals(singular)}
    return frozenset(forms)


def _plurals(word: str) -> set[str]:
    return {str(engine.plural_noun(word)).casefold() for engine in _engines()}


@lru_cache(maxsize=1)
def _engines() -> "tuple[inflect.engine, inflect.engine]":
    """Modern English (`cactuses`) and classical (`cacti`)."""
    with _without_type_checks():
        import inflect  # takes time that a process without text searches saves
    modern, classical = inflect.engine(), inflect.engine()
    classical.classical(all=True)
    return modern, classical


@contextmanager
def _without_type_checks() -> Iterator[None]:
    """While inflect is imported, typeguard would rewrite each of its methods, at 17 times the cost of the import."""
    checked = typeguard.typechecked
    typeguard.typechecked = lambda method: method  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = checked
