"""8-bit arithmetic for later runs and searches: fitted to indexed pictures after a run is published and reported.

Nothing depends on it. A stop, an error or a kill leaves the index and the model in use as they are.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from PIL import Image

from app import bootstrap
from app.bootstrap import Parts
from app.errors import AppError
from app.indexing.messages import Report
from app.ingest.reading import Content, Reader, key_of
from app.models.calibration import MOST_PICTURES, Calibration, spread
from app.pictures.decoding import ReadPicture
from app.storage.base import ObjectInfo
from indexer.look_ahead import LookAhead
from indexer.signals import Stop

log = logging.getLogger(__name__)

LEAST_PICTURES: Final = 100
"""With fewer pictures, there is little to gain, and the samples that ship with the program are the better calibration.
"""

LEAST_RUN_S: Final = 15.0
"""A run that reads and embeds for less time shows that the model is fast enough here."""

MAX_FITTING_S: Final = 600.0
"""A fitting that takes longer is given up: the model is too large for this machine."""


def fit_after(parts: Parts, report: Report, stop: Stop) -> None:
    """Fit the model's 8-bit arithmetic, unless a run has done so before. Errors are only logged."""
    model, settings = parts.model, parts.settings.model
    if not _is_worth_it(report) or stop():
        return
    try:
        if not bootstrap.can_fit_int8(settings, model.fingerprint):
            return
        objects = _indexed(parts)
        if len(objects) < LEAST_PICTURES:
            return
        log.info("The index is ready. What follows makes later runs and searches faster; Ctrl-C skips it.")
        model.forget()
        bootstrap.fit_int8(settings, calibration_on(parts, objects), go_on=lambda: not stop(), max_s=MAX_FITTING_S)
    except (AppError, MemoryError) as error:
        log.info("8-bit arithmetic was not fitted: %s", error)


def _is_worth_it(report: Report) -> bool:
    """Whether the run was long enough for faster arithmetic to matter."""
    if report.interrupted or not report.embedded:
        return False
    return report.embedded + report.reused >= LEAST_RUN_S * report.images_per_s


def _indexed(parts: Parts) -> list[ObjectInfo]:
    """Some of the indexed pictures."""
    snapshot = parts.catalog.load()
    if snapshot is None:
        return []
    records = snapshot.records.take(spread(list(snapshot.records), MOST_PICTURES))
    return [ObjectInfo(each.object_key, each.etag, each.size_bytes, each.modified_at) for each in records]


def calibration_on(parts: Parts, objects: Sequence[ObjectInfo]) -> Calibration:
    """Some of the objects as pictures to fit to. They are read and decoded as in a run, when they are asked for."""
    return Calibration("your pictures", True, partial(_pictures, parts, spread(objects, MOST_PICTURES)))


def _pictures(parts: Parts, objects: Iterable[ObjectInfo], read_picture: ReadPicture) -> Iterator[Image.Image | None]:
    settings = parts.settings
    reader = Reader(parts.store, settings.image, {}, partial(parts.decoders.run, read_picture))
    with LookAhead(reader, objects, readers=settings.index.readers, limit=settings.index.look_ahead) as ahead:
        for outcome in ahead:
            if outcome is None:
                yield None
                continue
            if isinstance(outcome, Content) and outcome.picture:
                yield outcome.picture.image
            else:
                log.debug("%s is left out of the fitting", key_of(outcome))
            ahead.release(outcome)
