"""Keeps notices for developers of diffusers, transformers and PyTorch out of the log."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LIBRARIES: Final = r"(accelerate|diffusers|huggingface_hub|numpy|torch|transformers)(\.|$)"
"""Modules whose warnings are hidden. NumPy warns of what diffusers' schedulers do with it."""


@contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Hides their progress bars, deprecation warnings and logged warnings; errors are still logged."""
    from app.models.hugging_face import quiet_transformers

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=LIBRARIES)
        with quiet_transformers():
            from diffusers.utils import logging as diffusers_logging

            verbosity, bars = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
            diffusers_logging.set_verbosity(logging.ERROR)
            diffusers_logging.disable_progress_bar()
            try:
                yield
            finally:
                diffusers_logging.set_verbosity(verbosity)
                if bars:
                    diffusers_logging.enable_progress_bar()
