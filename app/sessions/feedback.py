"""Feedback in words to signed terms: "more blue sky, without trees" is +"blue sky" and -"trees".

A small grammar in English, German, French and Spanish (docs/sessions.md has the table). A sentence is divided at
commas, semicolons, "but", before "without", and at "and" before a marker. Each piece is a marker and words, or words
alone, which are then looked for.
"""

import re
from collections.abc import Iterator
from typing import Final

from app.errors import InvalidInput
from app.sessions.session import SignedText

PLUS: Final = 0.5
"""Words without a marker, and after "more" and "with". With 1, as the query itself, what was looked for is lost where
nothing has both (docs/sessions.md)."""

FOCUS: Final = 1.0
"""After "focus on" and "only": they count as much as two."""

LESS: Final = -0.15
"""After "less" and "fewer"."""

MINUS: Final = -0.3
"""After "without", "no" and "not": as minus words count in a query. Pictures that fit these words are left out, too."""

_WITHOUT: Final = "without|with no|ohne|sans|sin|except(?: for)?|außer|ausser|sauf|excepto|salvo"
"""Words that take away what follows, also in the middle of a sentence."""

_MARKERS: Final = {
    FOCUS: "focus(?:ing)? on|concentrate on|only|just|"
    "konzentriere? dich auf|fokus auf|nur|"
    "concentre[- ]toi sur|concentrez[- ]vous sur|seulement|uniquement|"
    "céntrate en|centrate en|enfócate en|enfocate en|sólo|solo|solamente|únicamente",
    MINUS: f"{_WITHOUT}|no more|not|no|don't show(?: me)?|do not show(?: me)?|remove|exclude|"
    "keinerlei|keine[nmrs]?|kein|nicht|entferne|"
    "pas de|pas d'|pas|aucune?|enlève|retire|"
    "ningún|ninguna?|nada de|quita|elimina",
    LESS: "less|fewer|weniger|moins de|moins d'|moins|menos",
    PLUS: "more|with|and|also|add|mehr|mit|auch|und|plus de|plus d'|plus|davantage de|avec|aussi|et|"
    "más|mas|con|también|y",
}
"""By weight; of the same beginning, the longest comes first in the pattern below."""

_POLITE: Final = re.compile(r"^(?:please|bitte|s'il (?:vous|te) plaît|por favor)\b[\s,]*", re.IGNORECASE)
_POLITE_END: Final = re.compile(r"[\s,]*\b(?:please|bitte|s'il (?:vous|te) plaît|por favor)$", re.IGNORECASE)

_MORE: Final = "more|mehr|plus de|plus d'|davantage de|más|mas"
_DIVIDES: Final = re.compile(
    r"[,;.!?\n]*\s+(?:but|aber|sondern|mais|pero|sino)\s+|[,;.!?\n]+\s+|[,;.!?\n]+$"
    rf"|\s+(?:and|und|et|y)\s+(?=(?:{_MORE}|{_MARKERS[MINUS]}|{_MARKERS[LESS]}|{_MARKERS[FOCUS]})(?:(?<=')|\s))"
    rf"|\s+(?=(?:{_WITHOUT})\s)",
    re.IGNORECASE,
)
_WEIGHTS: Final = {"focus": FOCUS, "minus": MINUS, "less": LESS, "plus": PLUS}
"""By the name of the pattern's group."""

_MARKED: Final = re.compile(
    "(?:"
    + "|".join(
        f"(?P<{name}>{'|'.join(sorted(_MARKERS[weight].split('|'), key=len, reverse=True))})"
        for name, weight in _WEIGHTS.items()
    )
    + r")(?:(?<=')|\s+|$)",
    re.IGNORECASE,
)


def understand(feedback: str) -> list[SignedText]:
    """The signed terms of a sentence, in its order, each words once. "more" alone says nothing and is left out.

    Raises InvalidInput where nothing is left.
    """
    terms = {term.text.casefold(): term for piece in _pieces(feedback) if (term := _term(piece))}
    if not terms:
        raise InvalidInput(
            f"The feedback {feedback.strip()!r} names nothing to look for. Say for example 'without trees' or 'more "
            "blue sky'."
        )
    return list(terms.values())


def _pieces(feedback: str) -> Iterator[str]:
    text = _POLITE_END.sub("", _POLITE.sub("", feedback.strip().replace("’", "'")).rstrip(" .!?"))
    return (piece.strip() for piece in _DIVIDES.split(text) if piece and piece.strip())


def _term(piece: str) -> SignedText | None:
    """The words after all markers at the beginning: "and without trees" is -"trees". The last marker counts."""
    weight, rest = PLUS, piece
    while marked := _MARKED.match(rest):
        weight, rest = _WEIGHTS[str(marked.lastgroup)], rest[marked.end() :]
    return SignedText(rest, weight) if re.search(r"\w", rest) else None
