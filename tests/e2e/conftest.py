"""The demo as a newcomer starts it, once for all tests that ask it something."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.support.demo import demo


@pytest.fixture(scope="session")
def demo_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with demo(tmp_path_factory.mktemp("demo")) as (address, _), httpx2.Client(base_url=address, timeout=30) as client:
        yield client
