"""Repeats index runs by a crontab line or every N seconds, one run at a time.

A time that comes while a run is going on is dropped; the next time counts again.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cronsim import CronSim, CronSimError

from app.errors import InvalidSettings
from indexer.signals import Stop

log = logging.getLogger(__name__)

MAX_WAIT_S = 60.0
"""The clock is read again at least this often while waiting, because it may be set or the machine may sleep."""


class Schedule(Protocol):
    """Times are seconds since the epoch."""

    def next_after(self, now_s: float) -> float:
        """The first time of the schedule after `now_s`."""
        ...


@dataclass(frozen=True)
class Crontab:
    """Five crontab fields in local time, as Debian's cron reads them.

    A day of the month and a day of the week, both given, mean either.
    """

    line: str

    def next_after(self, now_s: float) -> float:
        due = next(CronSim(self.line, datetime.fromtimestamp(now_s)))
        first, second = (due.replace(fold=fold).timestamp() for fold in (0, 1))
        return first if first > now_s else second  # they differ in the hour that comes twice when clocks go back


@dataclass(frozen=True)
class Interval:
    """Every `seconds`, counted from `start_s`."""

    seconds: float
    start_s: float = field(default_factory=time.time)

    def next_after(self, now_s: float) -> float:
        passed = (now_s - self.start_s) // self.seconds
        return self.start_s + (passed + 1) * self.seconds


def parse_schedule(text: str) -> Schedule:
    """Five crontab fields, or seconds. Raises InvalidSettings."""
    try:
        fields = text.split()
        if len(fields) == 1:
            return _interval(float(text))
        if len(fields) != 5:
            raise ValueError(f"it has {len(fields)} fields")
        if next(CronSim(text, datetime.now()), None) is None:
            raise ValueError("its day never comes")
        return Crontab(text)
    except (ValueError, CronSimError) as error:
        raise InvalidSettings(
            f"{text!r} is not a schedule ({error}). "
            f"Give five crontab fields, such as '*/15 * * * *', or seconds, such as 300."
        ) from error


def keep_running(run: Callable[[], None], schedule: Schedule, stop: Stop) -> None:
    """Run at once and then by the schedule, until a stop is requested. An error of a run is logged."""
    while not stop():
        try:
            run()
        except Exception:
            log.exception("The run failed; the schedule goes on.")
        _wait_until(schedule.next_after(time.time()), stop)


def _wait_until(due_s: float, stop: Stop) -> None:
    while not stop() and (left_s := due_s - time.time()) > 0:
        stop.wait(min(left_s, MAX_WAIT_S))


def _interval(seconds: float) -> Interval:
    if not 0 < seconds < 1e9:
        raise ValueError("seconds must be more than 0 and less than a billion")
    return Interval(seconds)
