"""Words and phrases that no prompt may have.

`Screen` is the seam: a function from a prompt to what is wrong with it, or None. The one here knows a list; another one
may ask a classifier.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from app.errors import InvalidSettings

Screen: TypeAlias = Callable[[str], str | None]
"""From a prompt to the sentence that refuses it; None where it may be drawn."""

_WORD: Final = re.compile(r"\w+")


def no_screen(prompt: str) -> str | None:
    """Every prompt may be drawn."""
    return None


def load_blocklist(path: Path) -> Screen:
    """The screen of a file with one word or phrase a line; `#` begins a comment. Raises InvalidSettings."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(
            f"GENERATION_BLOCKLIST={path} can't be read: {error}. Name a text file in UTF-8 with one word or phrase a"
            " line."
        ) from error
    return blocking(line.partition("#")[0] for line in lines)


def blocking(phrases: Iterable[str]) -> Screen:
    """Refuses prompts with one of these words or phrases. They match as whole words, without case and accents."""
    blocked = {_words(phrase): phrase.strip() for phrase in phrases if _words(phrase)}
    lengths = sorted(set(map(len, blocked)))

    def screen(prompt: str) -> str | None:
        words = _words(prompt)
        for length in lengths:
            for start in range(len(words) - length + 1):
                if found := blocked.get(words[start : start + length]):
                    return f"This service draws no picture of {found!r} (GENERATION_BLOCKLIST). Change the prompt."
        return None

    return screen


def _words(text: str) -> tuple[str, ...]:
    """The words without case, accents and the letters' forms (NFKD: full-width, ligatures)."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf"))
    return tuple(_WORD.findall(plain.replace("_", " ")))
