"""The header Retry-After, by which servers say when to come back (RFC 9110, 10.2.3)."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_of(retry_after: str, default_s: int) -> int:
    """What the header says, seconds or a date, as seconds from now; at least 1. `default_s` where it says nothing."""
    if retry_after.isdecimal():
        return max(1, int(retry_after[:9]))
    try:
        seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return default_s
    return max(1, math.ceil(seconds))
