"""Each test of the catalog runs on a folder and on S3 over HTTP."""

from pathlib import Path

import pytest

from app.storage.base import ObjectStore
from tests.support.stores import store_at


@pytest.fixture(params=["file", "s3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}" if request.param == "file" else f"s3://{request.getfixturevalue('bucket')}"


@pytest.fixture
def store(storage_url: str) -> ObjectStore:
    return store_at(storage_url)
