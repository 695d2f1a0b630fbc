"""What a typed text says shall not be seen: `beach -people`, `-"red car"`, `a house without windows`.

Only where `Query.minus_words` is set. What is read:

- a hyphen before a word or a quoted phrase, with a space (or nothing) before the hyphen: `-cat`, `-"two words"`.
  Hyphens inside words (`t-shirt`), before digits (`IMG -2041`), doubled or alone are no sign;
- `not` and `without`, and German `ohne`, French `sans`, Spanish `sin`, after at least one other word. What follows is
  taken away, up to a comma, a bracket, a conjunction (`but`) or another preposition (`at sunset`); `and` and `or`
  begin the next thing to take away;
- nothing between quotation marks is read.

Where nothing would be left to look for, the text is searched as it is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from app.encoder.encoder import Text
from app.search.query import Query, Weighted

MINUS_WEIGHT: Final = -0.3
"""Of a term that is read from words, chosen with `scripts.bench_queries` (docs/queries.md). From -0.5 on, pictures that
are far from it come before those that are looked for."""

_QUOTES = r"\"“”„«»"
_HYPHENED = re.compile(rf"(?<!\S)[-−–](?:[{_QUOTES}]([^{_QUOTES}]+)[{_QUOTES}]|([^\W\d_][^\s,;()]*))")
_QUOTED = re.compile(rf"[{_QUOTES}][^{_QUOTES}]*[{_QUOTES}]")
_TOKEN = re.compile(r"[^\s,;:.!?()\[\]]+|[,;:.!?()\[\]]")

_SIGNS = frozenset(("not", "without", "ohne", "sans", "sin"))
_JOINING = frozenset(("and", "or", "nor", "und", "oder", "noch", "et", "ou", "ni", "y", "e", "o"))
_LEADING = frozenset(("but", "and", "aber", "und", "mais", "et", "pero", "y"))
"""Before a sign they belong to it: `but not`."""
_ARTICLES = frozenset(
    (
        *("a", "an", "the", "any", "der", "die", "das", "den", "dem", "ein", "eine", "einen", "einem", "einer", "un"),
        *("une", "le", "la", "les", "des", "du", "el", "los", "las", "una", "unos", "unas"),
    )
)
_CONJUNCTIONS = frozenset(("but", "while", "aber", "mais", "pero"))
_PREPOSITIONS = frozenset(
    (
        *("with", "in", "at", "on", "under", "over", "near", "by", "during", "behind", "before", "beside", "from"),
        *(
            "for",
            "to",
            "mit",
            "im",
            "am",
            "an",
            "auf",
            "unter",
            "über",
            "bei",
            "neben",
            "vor",
            "hinter",
            "avec",
            "dans",
        ),
        *("sur", "sous", "près", "pendant", "devant", "derrière", "con", "en", "sobre", "bajo", "cerca", "durante"),
        *("delante", "detrás"),
    )
)
_NOT_A_SIGN_AFTER = frozenset(
    (
        *("do", "does", "did", "is", "are", "was", "were", "am", "be", "been", "has", "have", "had", "can", "could"),
        *("should", "would", "will", "must", "may", "might", "or", "why", "if", "whether", "me", "comic", "original"),
        *("mortal"),
    )
)
_NOT_A_SIGN_BEFORE = frozenset(("only", "just", "even", "yet", "far", "enough", "serif", "city", "duda"))


@dataclass(frozen=True, slots=True)
class Understood:
    """A text with minus words, as it was read."""

    text: str
    """What is looked for."""
    minus: tuple[str, ...]
    """What is taken away."""


def understand(query: Query, *, exclude: bool = False) -> tuple[Query, Understood | None]:
    """The query with its minus words as terms of their own, where they are to be read and it looks for one text.

    `exclude` as `Weighted.exclude`: it needs relevance.
    """
    texts = [each for each in query.terms if isinstance(each.term, Text) and not each.is_minus]
    if not query.minus_words or len(texts) != 1:
        return query, None
    (asked,) = texts
    assert isinstance(asked.term, Text)
    read = read_minus_words(asked.term.text)
    if read is None:
        return query, None
    left = asked._replace(term=Text(read.text))
    minus = (Weighted(Text(phrase), MINUS_WEIGHT, exclude) for phrase in read.minus)
    return replace(query, terms=(*(left if each is asked else each for each in query.terms), *minus)), read


def read_minus_words(text: str) -> Understood | None:
    """None where the text has no minus words, or nothing else. Each phrase is told once."""
    minus = [found[1] or found[2] for found in _HYPHENED.finditer(text)]
    rest, phrases = _spoken(_HYPHENED.sub(" ", text))
    minus = list(dict.fromkeys(phrase for each in (*minus, *phrases) if (phrase := each.strip(" -\"'.,;:!?"))))
    rest = re.sub(r"(?:\s*([,;:]))+", r"\1", " ".join(rest.split())).strip(" ,;:")
    return Understood(rest, tuple(minus)) if minus and re.search(r"\w", rest) else None


def _spoken(text: str) -> tuple[str, list[str]]:
    """The text without what its words take away, and the phrases that they take away."""
    tokens = list(_tokens(text))
    kept: list[str] = []
    phrases: list[str] = []
    place = 0
    while place < len(tokens):
        if not _is_sign(tokens, place, kept):
            kept.append(tokens[place])
            place += 1
            continue
        while kept and kept[-1].lower() in _LEADING:
            kept.pop()
        place = _read_phrases(tokens, place + 1, phrases)
    while kept and kept[-1].lower() in _SIGNS:  # `beach without -people`
        kept.pop()
    return " ".join(kept), phrases


def _is_sign(tokens: list[str], place: int, kept: list[str]) -> bool:
    """Whether the word takes away what follows. Only after another word, and with one behind it."""
    if tokens[place].lower() not in _SIGNS or place + 1 >= len(tokens):
        return False
    before, after = kept[-1].lower() if kept else "", tokens[place + 1].lower()
    is_word = re.match(r"[^\W_]", after) is not None or after[0] in '"“„«'
    has_more = any(re.search(r"\w", token) for token in kept)
    return has_more and is_word and before not in _NOT_A_SIGN_AFTER and after not in _NOT_A_SIGN_BEFORE


def _read_phrases(tokens: list[str], place: int, phrases: list[str]) -> int:
    """Add what is taken away from this place on; returns the place behind it."""
    start, words = place, list[str]()

    def end() -> None:
        if words:
            phrases.append(" ".join(words).strip(_QUOTES.replace("\\", "")))
        words.clear()

    while place < len(tokens):
        token = tokens[place].lower()
        if token in _PREPOSITIONS and place > start:
            break
        if token in _CONJUNCTIONS or not re.search(r"\w", token) or token in _SIGNS:
            break
        if token in _JOINING:
            end()
        elif words or token not in _ARTICLES:
            words.append(tokens[place])
        place += 1
    end()
    return place


def _tokens(text: str) -> Iterator[str]:
    """Words and marks; what stands between quotation marks is one word."""
    last = 0
    for quoted in _QUOTED.finditer(text):
        yield from _TOKEN.findall(text[last : quoted.start()])
        yield quoted[0]
        last = quoted.end()
    yield from _TOKEN.findall(text[last:])
