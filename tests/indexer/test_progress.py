"""What the three kinds of progress say, with a clock that the test turns."""

import io
import logging
import os
from collections.abc import Iterator
from typing import TextIO

import orjson
import pytest
from rich.console import Console

from indexer.progress import BarProgress, JsonProgress, LogProgress, PatientConsole, UnbrokenProgress, discard


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_log_lines_come_every_ten_seconds_with_rate_and_time_left(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = LogProgress(clock)
    with caplog.at_level(logging.INFO):
        progress.phase("indexing", 1000)
        for _ in range(20):
            clock.now += 1
            progress.advance(10)
        progress.close()
    assert caplog.messages == [
        "indexing: 1,000 to do",
        "indexing: 100 of 1,000, 10.0/s, 1:30 left",
        "indexing: 200 of 1,000, 10.0/s, 1:20 left",
    ]


def test_log_lines_without_a_total_count_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = LogProgress(clock)
    with caplog.at_level(logging.INFO):
        progress.phase("listing")
        clock.now += 20
        progress.advance(5000)
    assert caplog.messages == ["listing", "listing: 5,000 so far, 250.0/s"]


def test_hours_left_are_said_in_hours(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = LogProgress(clock)
    with caplog.at_level(logging.INFO):
        progress.phase("indexing", 100_000)
        clock.now += 10
        progress.advance(100)
    assert caplog.messages[-1] == "indexing: 100 of 100,000, 10.0/s, 2:46:30 left"


def test_json_lines_are_at_most_five_a_second_and_miss_no_end() -> None:
    clock, out = Clock(), io.StringIO()
    progress = JsonProgress(out, clock)
    progress.phase("indexing", 100)
    for _ in range(100):
        clock.now += 0.01
        progress.advance()
    progress.phase("publishing")
    progress.close()
    lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert [line["done"] for line in lines if line["phase"] == "indexing"][:2] == [0, 20]
    assert len(lines) <= 8
    assert lines[-2] == {"phase": "indexing", "done": 100, "total": 100}
    assert lines[-1] == {"phase": "publishing", "done": 0, "total": None}


def test_the_bar_shows_count_rate_and_time_left() -> None:
    out = io.StringIO()
    progress = BarProgress(Console(file=out, force_terminal=True, width=120))
    progress.phase("listing")
    progress.advance(7)
    progress.phase("indexing", 10)
    progress.advance(4)
    progress.advance(6)
    progress.close()
    for words in ("listing", "7/7", "indexing", "10/10", "/s", "time left"):
        assert words in out.getvalue()


@pytest.fixture
def closed_pipe() -> Iterator[TextIO]:
    """The writing end of a pipe whose reader is gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as out:
        yield out


def test_a_reader_that_is_gone_silences_json_lines_once(closed_pipe: TextIO, caplog: pytest.LogCaptureFixture) -> None:
    progress = UnbrokenProgress(JsonProgress(closed_pipe))
    for name in ("listing", "indexing", "publishing"):
        progress.phase(name, 3)
        progress.advance()
    progress.close()
    assert caplog.text.count("the run goes on without") == 1
    discard(closed_pipe)


def test_a_reader_that_is_gone_silences_the_bar(closed_pipe: TextIO) -> None:
    """rich ends the program there; our console does not, and nothing is left to fail when the program ends."""
    console = PatientConsole(file=closed_pipe, force_terminal=True)
    progress = UnbrokenProgress(BarProgress(console))
    progress.phase("indexing", 3)
    progress.advance(3)
    progress.close()
    console.print("summary")
    closed_pipe.flush()
