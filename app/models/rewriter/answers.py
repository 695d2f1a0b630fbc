"""What a model answered, made a search text: one line without quotes, of bounded length, and not the prompt again."""

import re
from typing import Final

from app.errors import RewriteFailed
from app.models.rewriter.base import Conversation
from app.models.rewriter.prompts import EXAMPLES, INSTRUCTION, LABELS
from app.printable import one_line

MAX_CHARS: Final = 300

COPIED_CHARS: Final = 40
"""That many characters in a row from the instruction are no chance."""

NOTHING: Final = "The rewriter wrote nothing that can be searched for."
REPEATED: Final = "The rewriter repeated what it was given."

_THOUGHT: Final = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
"""What reasoning models write before their answer, up to its end."""

_LABEL: Final = re.compile(r"^(?:\W*)(?:(?:new |rewritten |search )?(?:caption|query)|answer)\s*:\W*", re.IGNORECASE)
_AROUND: Final = " \t\"'`*_“”„«»‘’「」"
_WORD: Final = re.compile(r"[^\W_]")


def search_text(answer: str, conversation: Conversation) -> str:
    """The answer's first line that says something. Raises RewriteFailed."""
    line = _line_of(answer)
    if line is None:
        raise RewriteFailed(NOTHING)
    if line.startswith(LABELS):
        raise RewriteFailed(REPEATED)
    text = _cut(_LABEL.sub("", line).strip(_AROUND))
    if not _WORD.search(text):
        raise RewriteFailed(NOTHING)
    if _repeats(text, conversation):
        raise RewriteFailed(REPEATED)
    return text


def is_complete(answer: str) -> bool:
    """Whether more text would not change `search_text`."""
    lines, _, _ = answer.rpartition("\n")
    return _line_of(lines) is not None


def _line_of(answer: str) -> str | None:
    """Without fences of code, and without lines such as "Here is the caption:"."""
    lines = (one_line(line) for line in _THOUGHT.sub("", answer).splitlines())
    return next((line for line in lines if _WORD.search(line) and not line.endswith(":") and line[:3] != "```"), None)


def _repeats(text: str, conversation: Conversation) -> bool:
    """Whether it is the query or a piece of feedback, an example's answer, or a part of the instruction."""
    given = [conversation.query, *conversation.feedback, *(caption for _, caption in EXAMPLES)]
    said = _plain(text)
    return said in map(_plain, given) or (len(said) >= COPIED_CHARS and said in _plain(INSTRUCTION))


def _plain(text: str) -> str:
    return one_line(text).casefold().strip(_AROUND + ".!?")


def _cut(text: str) -> str:
    """To MAX_CHARS, after a whole word where there are words."""
    if len(text) <= MAX_CHARS:
        return text
    return (text[:MAX_CHARS].rpartition(" ")[0] or text[:MAX_CHARS]).rstrip()
