"""Keeps index runs coming, by a cron expression or every so many seconds, one at a time.

A time that comes while a run is still going is dropped; the next one counts again.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.errors import InvalidSettings

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By crontab's numbers. APScheduler 3 counts from Monday instead, so numbers are handed over as names."""


def parse_schedule(text: str) -> BaseTrigger:
    """Five crontab fields, or seconds. Raises InvalidSettings."""
    try:
        if len(text.split()) == 1:
            return _interval(float(text))
        minute, hour, day, month, weekday = text.split()
        return _cron(minute, hour, day, month, weekday)
    except ValueError as error:
        raise InvalidSettings(
            f"{text!r} is no schedule ({error}). "
            f"Give five crontab fields, such as '*/15 * * * *', or seconds, such as 300."
        ) from error


def keep_running(run: Callable[[], None], trigger: BaseTrigger, wait: Callable[[], None]) -> None:
    """Run at once and then by the trigger, until `wait` returns and the run in progress has ended."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler()
    scheduler.add_job(
        run,
        trigger,
        next_run_time=datetime.now(UTC),
        coalesce=True,
        max_instances=1,
        misfire_grace_time=None,
    )
    scheduler.start()
    wait()
    scheduler.shutdown()


def _cron(minute: str, hour: str, day: str, month: str, weekday: str) -> BaseTrigger:
    """A day of the month and a day of the week, both given, mean either, as in crontab(5); else every field counts."""

    def trigger(day: str, weekday: str) -> CronTrigger:
        return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday))

    if day.startswith("*") or weekday.startswith("*"):
        return trigger(day, weekday)
    return OrTrigger([trigger(day, "*"), trigger("*", weekday)])


def _interval(seconds: float) -> IntervalTrigger:
    if not 0 < seconds < 1e9:
        raise ValueError("seconds must be more than 0 and less than a billion")
    return IntervalTrigger(seconds=seconds)


def _weekdays(field: str) -> str:
    """crontab's day of week (`0-6`, `1-5/2`, `7`, `fri`) as a list of names; a range may begin with Sunday."""
    return "*" if field == "*" else ",".join(_weekday_part(part.lower()) for part in field.split(","))


def _weekday_part(part: str) -> str:
    days, _, step = part.partition("/")
    first, dash, last = ("0", "-", "6") if days == "*" else days.partition("-")
    numbers = range(_weekday_number(first), _weekday_number(last if dash else first) + 1, int(step or 1))
    if not numbers:
        raise ValueError(f"day of week {part!r} runs backwards")
    return ",".join(WEEKDAYS[number] for number in numbers)


def _weekday_number(day: str) -> int:
    number = WEEKDAYS.index(day) if day in WEEKDAYS else int(day)
    if not 0 <= number < len(WEEKDAYS):
        raise ValueError(f"day of week {day!r}: use 0 (Sunday) to 7, or sun to sat")
    return number
