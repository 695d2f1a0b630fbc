"""The environment that settings are read from."""

import os
from collections.abc import Iterator

import pytest

from app.settings import variables


@pytest.fixture
def clean_environment() -> Iterator[None]:
    """No setting comes from outside, and what the test sets is undone."""
    saved = dict(os.environ)
    for name, _, _ in variables():
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(saved)
