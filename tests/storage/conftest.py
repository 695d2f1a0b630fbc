"""What the stores say is heard, whatever level the tests before in this process left our loggers at."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def warnings_are_heard() -> Iterator[None]:
    logger = logging.getLogger("app")
    before = logger.level
    logger.setLevel(logging.WARNING)
    for name in ("app.storage.local", "app.storage.s3"):
        assert logging.getLogger(name).isEnabledFor(logging.WARNING), "a test before has silenced it"
    yield
    logger.setLevel(before)
