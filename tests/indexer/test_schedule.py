"""Schedules as people write them, and the loop that follows one."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from app.errors import InvalidSettings
from indexer import schedule
from indexer.schedule import Interval, keep_running, parse_schedule

SATURDAY = datetime(2026, 11, 21, 12, 0).timestamp()


def following(text: str, count: int, form: str = "%a %H:%M") -> list[str]:
    """The times from a Saturday noon on, by weekday, hour and minute unless `form` says otherwise."""
    times = [parse_schedule(text).next_after(SATURDAY - 1)]
    while len(times) < count:
        times.append(parse_schedule(text).next_after(times[-1]))
    return [datetime.fromtimestamp(time_s).strftime(form) for time_s in times]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 3 * * *", ["Sun 03:30", "Mon 03:30"]),
        ("*/20 * * * *", ["Sat 12:00", "Sat 12:20", "Sat 12:40", "Sat 13:00"]),
        ("0 3 * * 0", ["Sun 03:00", "Sun 03:00"]),
        ("0 3 * * 7", ["Sun 03:00"]),
        ("0 3 * * 1", ["Mon 03:00"]),
        ("0 3 * * 1-5", ["Mon 03:00", "Tue 03:00", "Wed 03:00", "Thu 03:00", "Fri 03:00", "Mon 03:00"]),
        ("0 3 * * 0-2", ["Sun 03:00", "Mon 03:00", "Tue 03:00", "Sun 03:00"]),
        ("0 3 * * sun,3", ["Sun 03:00", "Wed 03:00"]),
        ("0 3 * * SUN-TUE", ["Sun 03:00", "Mon 03:00", "Tue 03:00", "Sun 03:00"]),
        ("0 3 * * */2", ["Sun 03:00", "Tue 03:00", "Thu 03:00", "Sat 03:00", "Sun 03:00"]),
    ],
)
def test_crontab_days_count_from_sunday(text: str, expected: list[str]) -> None:
    assert following(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 3 24 * 5", ["Tue 24", "Fri 27", "Fri 04", "Fri 11", "Fri 18", "Thu 24", "Fri 25"]),
        ("0 3 27 * fri", ["Fri 27", "Fri 04"]),
        ("0 3 27 * *", ["Fri 27", "Sun 27"]),
        ("0 3 */2 * 5", ["Fri 27", "Fri 11", "Fri 25"]),
        ("0 3 27 * */5", ["Fri 27", "Sun 27"]),
    ],
)
def test_a_day_of_the_month_or_of_the_week_is_enough(text: str, expected: list[str]) -> None:
    """As crontab(5) has it, unless one of the two begins with a star."""
    assert following(text, len(expected), "%a %d") == expected


@pytest.mark.parametrize(("text", "seconds"), [("300", 300), ("0.5", 0.5), (" 60 ", 60)])
def test_plain_seconds(text: str, seconds: float) -> None:
    interval = parse_schedule(text)
    first = interval.next_after(SATURDAY)
    assert 0 < first - SATURDAY <= seconds
    assert interval.next_after(first + 0.001) - first == pytest.approx(seconds)


def test_times_that_a_long_run_missed_are_dropped() -> None:
    interval = Interval(60, SATURDAY)
    assert interval.next_after(SATURDAY + 200) == SATURDAY + 240
    assert parse_schedule("*/20 * * * *").next_after(SATURDAY + 70 * 60) == SATURDAY + 80 * 60


@pytest.mark.parametrize("begins", [datetime(2026, 3, 8), datetime(2026, 11, 1)], ids=["spring", "autumn"])
def test_times_go_forward_when_clocks_change(begins: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        for text in ("*/20 * * * *", "30 1 * * *", "30 2 * * *"):
            schedule, now_s = parse_schedule(text), begins.timestamp()
            while now_s < begins.timestamp() + 6 * 3600:  # at every second minute, also in the hour that comes twice
                assert 0 < schedule.next_after(now_s) - now_s <= 26 * 3600
                now_s += 120
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-5", "nan", "inf", "hourly", "* * *", "61 * * * *", "0 3 * * 8", "0 3 * * 5-1", "0 3 * * x"),
        *("* * * * * *", "0 3 30 2 *", "0 0 31 2 *", "0 0 31 4,6,9,11 *"),
    ],
)
def test_a_schedule_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(InvalidSettings, match="crontab fields"):
        parse_schedule(text)


class StopAfter:
    """Stops once `requested` is true; waits for real, and counts how often."""

    def __init__(self, requested: Callable[[], bool]) -> None:
        self._requested = requested
        self.waits: list[float] = []
        self._never = threading.Event()

    def __call__(self) -> bool:
        return self._requested()

    def wait(self, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        self._never.wait(timeout_s)
        return self()


def test_runs_at_once_then_on_and_one_at_a_time() -> None:
    """Each run takes longer than the interval; the next one begins at a time of the schedule after its end."""
    runs: list[str] = []

    def run() -> None:
        runs.append("began")
        threading.Event().wait(0.05)
        runs.append("ended")

    stop = StopAfter(lambda: runs.count("ended") == 3)
    keep_running(run, parse_schedule("0.01"), stop)
    assert runs == ["began", "ended"] * 3
    assert stop.waits
    assert all(0 < wait_s <= 0.01 for wait_s in stop.waits)


def test_a_run_that_breaks_is_logged_and_the_schedule_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(len(runs))
        raise RuntimeError("the run broke")

    with caplog.at_level(logging.ERROR):
        keep_running(run, parse_schedule("0.01"), StopAfter(lambda: len(runs) == 2))
    assert caplog.text.count("RuntimeError: the run broke") == 2


def test_a_stop_during_a_run_ends_the_schedule_after_that_run() -> None:
    runs: list[str] = []

    def run() -> None:
        runs.append("began")
        runs.append("ended")

    stop = StopAfter(lambda: "began" in runs)
    keep_running(run, parse_schedule("1000"), stop)
    assert runs == ["began", "ended"]
    assert stop.waits == []


def test_a_stop_before_the_first_run_runs_nothing() -> None:
    keep_running(lambda: pytest.fail("it ran"), parse_schedule("1000"), StopAfter(lambda: True))


def test_a_long_wait_is_cut_so_that_the_clock_is_read_again() -> None:
    waits: list[float] = []

    class Stop:
        def __call__(self) -> bool:
            return len(waits) == 3

        def wait(self, timeout_s: float) -> bool:
            waits.append(timeout_s)
            return self()

    keep_running(lambda: None, parse_schedule("86400"), Stop())
    assert waits == [schedule.MAX_WAIT_S] * 3
