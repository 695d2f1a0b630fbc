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
    """Order and coverage.

    Modules marked `long` come first, so that no worker is left alone with one of them at the end. Tests of the catalog
    on S3 run the code that the same tests on a folder run: coverage, which costs a third of their time, is not
    measured twice. S3Store has tests of its own.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec and callspec.params.get("storage_url") == "s3":
            item.add_marker(pytest.mark.no_cover)
