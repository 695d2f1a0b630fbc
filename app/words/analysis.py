"""From texts to terms: the same for the words of a picture and for the words of a query.

A term is a word without case and accents, or a number without leading zeros: `IMG_0041` is `img` and `41`. Words in
camel case count whole and in parts: `CamelCase01` is `camelcase`, `camel`, `case` and `1`. Scripts without spaces are
cut into single characters and pairs of them.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

_RUN = re.compile(r"[^\W_]+")
_RUN_OR_END = re.compile(r"[^\W_]+|\n")
_NO_LETTER = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")
_MARK = "x"
"""A letter in place of each combining mark (Unicode's categories M), which ends no word."""

_NUMBER_BOUNDARY = re.compile(r"(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)")
_CAMEL_BOUNDARY = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])")
_MOST_PARTS: Final = 6

_DATE = re.compile(r"((?:19|20)\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?")
"""`20230714` and `20230714183059`."""

_DENSE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese and Korean."""

_UNDECOMPOSED = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_LATIN_MARKS = range(200, 241)
"""Combining classes of accents. Marks of other classes are parts of their letters, as in Hindi and Japanese."""

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_PICTURE_SUFFIX = re.compile(
    r"\.(?:jpe?g|jfif|png|gif|webp|tiff?|bmp|heic|heif|avif|jxl|jp2|svg|ico|cr[23]|nef|arw|dng|orf|rw2|raf)\b", re.I
)

MOST_CHARS: Final = 4000
"""Of one text of a picture that are read."""


class Document(NamedTuple):
    """What is said of one picture."""

    object_key: str
    caption: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return self.object_key.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return _SUFFIX.sub("", self.object_key.rpartition("/")[2])


def without_picture_suffixes(text: str) -> str:
    """`IMG_2041.jpg` -> `IMG_2041`, anywhere in a query."""
    return _PICTURE_SUFFIX.sub("", text)


def terms_of(text: str) -> list[str]:
    """The terms under which the text is found, in its order; a term may come several times."""
    return [term for run in runs_of(text[:MOST_CHARS]) for term in terms_of_run(run)]


def words_of(text: str) -> list[str]:
    """The terms by which a query looks for the text: each of its letters once."""
    return [term for run in runs_of(text) for term in _words_of_run(run)]


def runs_of(text: str) -> list[str]:
    """Letters and digits without anything in between, as they are written."""
    return _find(_RUN, text)


def runs_or_ends(texts: Iterable[str]) -> list[str]:
    """The runs of all texts, with a newline between two texts."""
    return _find(_RUN_OR_END, "\n".join(text.replace("\n", " ") for text in texts))


def _find(pattern: re.Pattern[str], text: str) -> list[str]:
    if text.isascii():
        return pattern.findall(text)
    text = unicodedata.normalize("NFKC", text)
    marks = [ord(char) for char in set(text) if unicodedata.category(char).startswith("M")]
    if not marks:
        return pattern.findall(text)
    alike = text.translate(dict.fromkeys(marks, _MARK))
    return [text[match.start() : match.end()] for match in pattern.finditer(alike)]


def terms_of_run(run: str) -> list[str]:
    """The terms of letters and digits without anything in between."""
    if run.isascii():
        if run.isdigit():
            return _number(run)
        if run.islower() and run.isalpha():
            return [run]
    elif _DENSE.search(run):
        return [term for part in _by_script(run) for term in part]
    stretches = _stretches(run)
    if len(stretches) == 1 and run.isalpha():
        return _letters(run)
    return [term for part in stretches for term in (_number(part) if part.isdigit() else _letters(part))]


def name_codes(text: str) -> tuple[int, ...]:
    """Equal for names that differ in case, accents and punctuation only; then, equal if also their numbers differ.

    The second is there only for names with letters and numbers. Each is blake2b-64 of the letters and digits.
    """
    key = _NO_LETTER.sub("", text).lower() if text.isascii() else "".join(map(fold, runs_of(text)))
    letters = _DIGITS.sub("", key)
    return tuple(map(_code_of, (key, letters) if letters and letters != key else (key,)))


def _code_of(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "little")


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """Without case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold()).translate(_UNDECOMPOSED)
    plain = "".join(char for char in apart if unicodedata.combining(char) not in _LATIN_MARKS)
    return unicodedata.normalize("NFC", plain)


def _words_of_run(run: str) -> list[str]:
    if _DENSE.search(run):
        return [term for part in _by_script(run, pairs_only=True) for term in part]
    return [_plain(part) for part in _stretches(run)]


def _stretches(run: str) -> list[str]:
    """Letters and numbers apart; the whole run where it is a hash or a random name, whose parts mean nothing."""
    stretches = _NUMBER_BOUNDARY.split(run)
    return stretches if len(stretches) <= _MOST_PARTS else [run]


def _letters(text: str) -> list[str]:
    """The word, and its parts if it is in camel case."""
    parts = [] if text.islower() else _CAMEL_BOUNDARY.split(text)
    return [fold(text), *map(fold, parts)] if 1 < len(parts) <= _MOST_PARTS else [fold(text)]


def _number(digits: str) -> list[str]:
    """The number, and the year of a date."""
    date = _DATE.fullmatch(digits)
    return [digits, date[1]] if date else [_plain(digits)]


def _plain(text: str) -> str:
    return (text.lstrip("0") or "0") if text.isdigit() else fold(text)


def _by_script(run: str, *, pairs_only: bool = False) -> Iterator[list[str]]:
    """The terms of each stretch of one kind of script. A single character is a term where it stands alone."""
    end = 0
    for match in _DENSE.finditer(run):
        if match.start() > end:
            yield terms_of_run(run[end : match.start()])
        chars, end = fold(match[0]), match.end()
        pairs = [chars[place : place + 2] for place in range(len(chars) - 1)]
        yield pairs if pairs_only and pairs else [*chars, *pairs]
    if end < len(run):
        yield terms_of_run(run[end:])
