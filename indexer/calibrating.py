"""The pictures of this run as what the model's 8-bit arithmetic is fitted to."""

import logging
from collections.abc import Iterator, Sequence

from app.errors import AppError
from app.models.calibration import MOST_PICTURES, Calibration, spread
from app.storage.base import ObjectInfo, ObjectStore

log = logging.getLogger(__name__)

ENOUGH = 100
"""Pictures to read below which the samples that ship with the program are a better choice."""


def calibration_on(store: ObjectStore, objects: Sequence[ObjectInfo]) -> Calibration | None:
    """On some of the objects, read when they are needed; None where there are few."""
    if len(objects) < ENOUGH:
        return None
    return Calibration("your pictures", True, lambda: _read(store, spread(objects, MOST_PICTURES)))


def _read(store: ObjectStore, objects: Sequence[ObjectInfo]) -> Iterator[bytes]:
    for info in objects:
        try:
            yield store.get(info.key).data
        except AppError as error:  # the run itself comes to it again and says so
            log.debug("not calibrated on %s: %s", info.key, error)
