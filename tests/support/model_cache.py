"""Folders that a whole test run shares, its workers and the processes they start: each model is made once.

One is MODEL_CACHE, for converted models; the other is for the tiny models that tests build. And all use one arithmetic
on every machine: a test about another arithmetic asks for it. So does one about relevance. Threads that wait do not
spin: several workers share the cores.
"""

import os
import shutil
import tempfile

import pytest

CACHE_VARIABLE = "MODEL_CACHE"
MODELS_VARIABLE = "IMAGE2SEARCH_TINY_MODELS"
_made: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    """In the process that starts the workers, which inherit the variables."""
    os.environ.setdefault("PRECISION", "fp32")
    os.environ.setdefault("CAPTION_PRECISION", "fp32")
    os.environ.setdefault("SEARCH_RELEVANCE", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for variable in (CACHE_VARIABLE, MODELS_VARIABLE):
        if variable not in os.environ:
            _made[variable] = os.environ[variable] = tempfile.mkdtemp(prefix="image2search-models-")


def pytest_unconfigure(config: pytest.Config) -> None:
    while _made:
        variable, folder = _made.popitem()
        del os.environ[variable]
        shutil.rmtree(folder)
