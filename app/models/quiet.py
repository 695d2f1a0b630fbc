"""Transformers without its remarks, and its errors as ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

from app.errors import ModelUnavailable
from app.models.checkpoint import Checkpoint


@contextmanager
def translated(checkpoint: Checkpoint, what: str) -> Iterator[None]:
    """Whatever transformers raises over a folder, as `ModelUnavailable`."""
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise checkpoint.unavailable(f"{what} can't be loaded ({lines[0]})") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and remarks; errors still come through."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
