"""Text that others wrote, such as the names of objects, made safe to print in logs, on a terminal and in reports.

A name may hold line breaks, with which it forges log lines, and escape sequences, which a terminal obeys. Some
characters turn the reading direction around, so that a name shows as another. All of these are written as escapes.
"""

import logging
import re
from typing import Any

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile(_UNSAFE.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
"""Control characters (C0, DEL, C1), line and paragraph separators, controls of direction (UAX 9), lone surrogates."""


def printable(text: str) -> str:
    """The text on one line, with escapes such as `\\n`, `\\x1b` and `\\u202e` for what is not safe to print."""
    return _UNSAFE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """As `printable`, but line breaks and tabs stay."""
    return _UNSAFE_IN_LINES.sub(_escape, text)


def printable_json(document: bytes) -> bytes:
    """The JSON document, in UTF-8, with JSON's own escapes for what is not safe to print. Its meaning is the same."""
    text = document.decode()
    return _UNSAFE_IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def one_line(text: str) -> str:
    """The text on one line, with single spaces in place of white space and of what is not safe to print."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class PrintableFormatter(logging.Formatter):
    """Keeps a log line one line. The traceback below it has its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message.rstrip("\n"))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return printable_lines(super().formatException(ei))
