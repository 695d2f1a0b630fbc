"""Fixtures that every test may use live in tests/support, one module a subject."""

import pytest

pytest_plugins = [
    "tests.support.chroma_server",
    "tests.support.milvus_server",
    "tests.support.model_cache",
    "tests.support.s3_server",
    "tests.support.small_service",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules marked `long` come first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
