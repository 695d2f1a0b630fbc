"""A client of the demo as a newcomer starts it, for all tests that ask it something."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.support.demo import Demo


@pytest.fixture(scope="session")
def demo_service(first_demo: Demo) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=first_demo.address, timeout=30) as client:
        yield client
