"""What Retry-After means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from app.ingest.retry_after import seconds_of


def test_it_is_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=90), usegmt=True)
    assert seconds_of("7", 2) == 7
    assert 85 <= seconds_of(later, 2) <= 90
    assert seconds_of(past, 2) == 1


def test_what_can_not_be_read_is_the_default() -> None:
    assert [seconds_of(odd, 2) for odd in ("0", "", "soon", "-5", "9" * 400)] == [1, 2, 2, 2, 999_999_999]
