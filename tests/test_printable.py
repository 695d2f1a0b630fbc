"""Names that would forge log lines or steer a terminal are printed with escapes."""

import json
import logging
import sys

import pytest

from app.printable import PrintableFormatter, printable, printable_json, printable_lines

UNSAFE = "a\nb\tc\x1b[31md\x7fe\x9bf\u202eg\u2028h\ud800i"
ESCAPED = r"a\nb\tc\x1b[31md\x7fe\x9bf\u202eg\u2028h\ud800i"


def test_unsafe_characters_are_escaped() -> None:
    assert printable(UNSAFE) == ESCAPED


@pytest.mark.parametrize(
    "name", ["été/снег.jpg", "写真 1.jpg", "👩\u200d🎨.png", r"a\nb", "Screenshot 3.04\u202fPM.png", "e\u0301"]
)
def test_other_characters_stay(name: str) -> None:
    assert printable(name) == printable_lines(name) == name


def test_lines_stay_where_they_are_wanted() -> None:
    assert printable_lines("a\n\tb\x1b\r") == "a\n\tb\\x1b\\r"


def test_json_means_the_same() -> None:
    document = json.dumps({"key": "a\n\x7f\x9b\u202e"}, ensure_ascii=False, indent=2).encode()
    safe = printable_json(document)
    assert json.loads(safe) == json.loads(document)
    assert safe.decode().replace("\n", "").isprintable()


def test_a_log_line_is_one_line() -> None:
    record = logging.LogRecord("app", logging.WARNING, __file__, 1, "%s is gone.\n", (UNSAFE,), None)
    assert PrintableFormatter("%(levelname)s %(message)s").format(record) == f"WARNING {ESCAPED} is gone."


def test_a_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        record = logging.LogRecord("app", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    lines = PrintableFormatter("%(message)s").format(record).splitlines()
    assert lines[0] == "failed"
    assert lines[-1] == r"ValueError: \x1b[2J"
