"""Fixtures of the storage tests: a local store, and loggers whose warnings reach caplog."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage.local import LocalStore


@pytest.fixture(autouse=True)
def warnings_are_heard() -> Iterator[None]:
    logger = logging.getLogger("app")
    before = logger.level
    logger.setLevel(logging.WARNING)
    for name in ("app.storage.local_listing", "app.storage.s3", "app.storage.s3_client"):
        assert logging.getLogger(name).isEnabledFor(logging.WARNING), "an earlier test has silenced it"
    yield
    logger.setLevel(before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that the user `nobody` can enter; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
