"""Reads `.env`: NAME=value lines. Names that look like misspelt settings of ours are refused, not ignored."""

import difflib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from app.errors import InvalidSettings

logger = logging.getLogger(__name__)

# How alike two names are, by difflib's ratio. MODLE and INDEX_POLL are mistakes; INDEX_EVERY and S3_PORT are Compose's.
_MISSPELT = 0.77


def read_env_file(path: Path, known: Sequence[str]) -> dict[str, str]:
    """The file's variables, except empty ones. Compose, libraries and shells may keep theirs in the file too.

    Raises InvalidSettings for a file or line that can't be read, and for a name that looks like a misspelt `known` one.
    """
    text = _text_of(path)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise InvalidSettings(
                f"{path}, line {_line_of(binding)}, is not NAME=value. Write it so, close what is quoted, or put a "
                "# before the line. See .env.example."
            )
    values = {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value}
    for name in values.keys() - set(known):
        near = difflib.get_close_matches(name.upper(), known, 1, _MISSPELT)
        if near:
            raise InvalidSettings(
                f"{path} sets {name}, which is no setting. Did you mean {near[0]}? If it belongs to another program, "
                "set it in that program's environment instead. See .env.example."
            )
        logger.debug("%s sets %s, which is no setting of image2search. It is put into the environment.", path, name)
    return values


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidSettings(f"{path} can't be read: {error.strerror}. Let this user read it.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{path}, line {line}, is not UTF-8. Save the file in that encoding.") from error


def _line_of(binding: Binding) -> int:
    """The line of the variable: the parser counts from the blank lines before it."""
    before = len(binding.original.string) - len(binding.original.string.lstrip())
    return binding.original.line + binding.original.string.count("\n", 0, before)
