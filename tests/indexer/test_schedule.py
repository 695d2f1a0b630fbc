"""Schedules as people write them, and the loop that follows one."""

import logging
import threading
from datetime import UTC, datetime

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from app.errors import InvalidSettings
from indexer.schedule import keep_running, parse_schedule

SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def following(schedule: str, count: int, form: str = "%a %H:%M") -> list[str]:
    """The times after a Saturday noon, by weekday, hour and minute unless `form` says otherwise."""
    trigger = parse_schedule(schedule)
    for single in getattr(trigger, "triggers", [trigger]):
        single.timezone = UTC
    times: list[datetime] = []
    while len(times) < count:
        previous = times[-1] if times else None
        times.append(trigger.get_next_fire_time(previous, previous or SATURDAY))
    return [time.strftime(form) for time in times]


@pytest.mark.parametrize(
    ("schedule", "expected"),
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
def test_crontab_days_count_from_sunday(schedule: str, expected: list[str]) -> None:
    assert following(schedule, len(expected)) == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 3 24 * 5", ["Tue 24", "Fri 27", "Fri 04", "Fri 11", "Fri 18", "Thu 24", "Fri 25"]),
        ("0 3 27 * fri", ["Fri 27", "Fri 04"]),
        ("0 3 27 * *", ["Fri 27", "Sun 27"]),
        ("0 3 */2 * 5", ["Fri 27", "Fri 11", "Fri 25"]),
        ("0 3 27 * */5", ["Fri 27", "Sun 27"]),
    ],
)
def test_a_day_of_the_month_or_of_the_week_is_enough(schedule: str, expected: list[str]) -> None:
    """As crontab(5) has it, unless one of the two begins with a star."""
    assert following(schedule, len(expected), "%a %d") == expected


@pytest.mark.parametrize(("text", "seconds"), [("300", 300), ("0.5", 0.5), (" 60 ", 60)])
def test_plain_seconds(text: str, seconds: float) -> None:
    trigger = parse_schedule(text)
    assert isinstance(trigger, IntervalTrigger)
    assert trigger.interval.total_seconds() == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "nan", "inf", "hourly", "* * *", "61 * * * *", "0 3 * * 8", "0 3 * * 5-1", "0 3 * * x"]
)
def test_a_schedule_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(InvalidSettings, match="crontab fields"):
        parse_schedule(text)


def test_runs_at_once_then_on_and_never_two_at_a_time() -> None:
    """Each run takes longer than the interval; none begins before the one before it has ended."""
    running, overlapped, runs = threading.Lock(), threading.Event(), threading.Semaphore(0)

    def run() -> None:
        if not running.acquire(blocking=False):
            overlapped.set()
        threading.Event().wait(0.05)
        running.release()
        runs.release()

    def three_runs() -> None:
        for _ in range(3):
            assert runs.acquire(timeout=20)

    keep_running(run, parse_schedule("0.01"), three_runs)
    assert not overlapped.is_set()


def test_a_run_that_breaks_is_logged_and_the_schedule_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    runs = threading.Semaphore(0)

    def run() -> None:
        runs.release()
        raise RuntimeError("the run broke")

    def two_runs() -> None:
        for _ in range(2):
            assert runs.acquire(timeout=20)

    with caplog.at_level(logging.ERROR):
        keep_running(run, parse_schedule("0.01"), two_runs)
    assert "the run broke" in caplog.text


def test_the_run_in_progress_is_waited_for() -> None:
    began, ended = threading.Event(), threading.Event()

    def run() -> None:
        began.set()
        threading.Event().wait(0.05)
        ended.set()

    keep_running(run, parse_schedule("1000"), lambda: began.wait(20))
    assert ended.is_set()
