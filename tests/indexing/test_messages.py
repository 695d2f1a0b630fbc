"""Messages between an index job and its watcher: the lines on the wire, and what a reader makes of odd ones."""

import json

import pytest

from app.indexing.messages import Message, PhaseProgress, Report, RunError, Unindexed, parse_line, to_line

REPORT = Report(seen=2, added=1, skipped=(Unindexed("b.png", "It is no picture."),), generation="00000001-0")

MESSAGES = [
    (PhaseProgress("listing", 3), {"phase": "listing", "done": 3, "total": None}),
    (PhaseProgress("indexing", 3, 10), {"phase": "indexing", "done": 3, "total": 10}),
    (RunError("IndexBusy", "wait"), {"error": {"type": "IndexBusy", "message": "wait"}}),
    (REPORT, {"report": REPORT.as_dict()}),
]


@pytest.mark.parametrize(("message", "content"), MESSAGES)
def test_a_message_is_one_line_of_json_that_reads_back(message: Message, content: object) -> None:
    line = to_line(message)
    assert line.count(b"\n") == 1
    assert json.loads(line) == content
    assert parse_line(line) == message


def test_a_report_from_a_newer_or_an_older_indexer_is_understood() -> None:
    skipped = {"key": "b.png", "reason": "It is no picture.", "since": 5}
    line = json.dumps({"report": {"added": 3, "invented": 2, "skipped": [skipped]}}).encode()
    assert parse_line(line) == Report(added=3, skipped=(Unindexed("b.png", "It is no picture."),))


def test_unknown_fields_of_the_other_messages_are_passed_over() -> None:
    assert parse_line(b'{"phase": "listing", "done": 1, "total": 2, "rate": 3}') == PhaseProgress("listing", 1, 2)
    assert parse_line(b'{"error": {"type": "A", "message": "b", "hint": "c"}}') == RunError("A", "b")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Loading weights: 100%\n",
        b"{not json",
        b"3",
        b"[]",
        b"{}",
        b'{"phase": "listing"}',
        b'{"phase": 1, "done": 2, "total": 3}',
        b'{"report": [1]}',
        b'{"report": {"skipped": ["x"]}}',
        b'{"report": {"failed": [{"key": "a.png"}]}}',
        b'{"report": {"failed": 3}}',
        b'{"error": "no object"}',
    ],
)
def test_a_line_that_is_no_message_is_none(line: bytes) -> None:
    assert parse_line(line) is None
