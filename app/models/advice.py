"""What the demo model does not know, and the models to set instead."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from app.models.calibration import SAMPLES
from app.models.checkpoint import DEMO_FOLDER, DEMO_MODEL
from app.settings import ModelSettings

FAST: Final = "openai/clip-vit-base-patch32"
GOOD: Final = "google/siglip2-base-patch16-224"

MODELS_TO_SET: Final = f"""\
Set MODEL, in .env or before the command, to one that knows photographs:
  MODEL={FAST}     fast: 1.2 GB, 70 s for 1,000 pictures
  MODEL={GOOD}  good: 3.0 GB, 280 s for 1,000 pictures
(size on disk, half of it downloaded; time on two CPU cores)"""
"""The times are those of docs/performance.md. A disk keeps the model as downloaded and as converted."""

IN_SHORT: Final = f"The demo model knows drawings, not photographs: for your own pictures set MODEL={FAST}."


def knows_drawings_only(model: ModelSettings) -> bool:
    """Whether this is the demo model, by its name or its folder."""
    return model.name == DEMO_MODEL or Path(model.name).expanduser().resolve() == DEMO_FOLDER


def is_sample(object_key: str, size_bytes: int) -> bool:
    """Whether the picture is one of the sample drawings, by the name and size of its file."""
    return (object_key.rpartition("/")[2], size_bytes) in _samples()


@lru_cache(maxsize=1)
def _samples() -> frozenset[tuple[str, int]]:
    return frozenset((path.name, path.stat().st_size) for path in SAMPLES.rglob("*") if path.is_file())
