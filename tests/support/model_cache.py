"""One MODEL_CACHE for a whole test run, its workers and the processes they start: each model is converted once.

And one arithmetic on every machine: a test about another arithmetic asks for it. Threads that wait do not
spin: several workers share the cores.
"""

import os
import shutil
import tempfile

import pytest

_VARIABLE = "MODEL_CACHE"
_made: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """In the process that starts the workers, which inherit the variable."""
    os.environ.setdefault("PRECISION", "fp32")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if _VARIABLE not in os.environ:
        _made.append(tempfile.mkdtemp(prefix="image2search-models-"))
        os.environ[_VARIABLE] = _made[0]


def pytest_unconfigure(config: pytest.Config) -> None:
    while _made:
        del os.environ[_VARIABLE]
        shutil.rmtree(_made.pop())
