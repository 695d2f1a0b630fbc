"""Fixtures that every test may use live in tests/support, one module a subject."""

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = [
    "tests.support.chroma_server",
    "tests.support.demo",
    "tests.support.environment",
    "tests.support.milvus_server",
    "tests.support.model_cache",
    "tests.support.redis_server",
    "tests.support.s3_server",
    "tests.support.small_service",
]


settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order and coverage.

    Modules marked `long` come first, the longest before the others, so that no worker is left alone with one of them
    at the end. Tests of the catalog on S3 run the code that the same tests on a folder run: coverage, which costs a
    third of their time, is not measured twice. S3Store has tests of its own.
    """
    items.sort(key=_seconds, reverse=True)
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec and callspec.params.get("storage_url") == "s3":
            item.add_marker(pytest.mark.no_cover)


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("long")
    return float(marker.args[0]) if marker else 0


ONE_WORKER = {
    "tests/models/": "models",
    "tests/cli/test_demo.py": "demo",
    "tests/e2e/test_demo_rankings.py": "demo",
    "tests/e2e/test_session_users.py": "demo",
    "tests/e2e/test_documents.py": "demo",
}
"""Tests, by the start of their names, that one worker runs: they share PyTorch and transformers, or a running demo."""


class Scheduling(LoadScopeScheduling):
    """Every module goes to one worker as a whole, and so does every group of ONE_WORKER."""

    def _split_scope(self, nodeid: str) -> str:
        groups = (group for start, group in ONE_WORKER.items() if nodeid.startswith(start))
        return next(groups, super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "loadscope" else None
