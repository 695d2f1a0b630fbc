"""Whether searches gain by fewer hubs: after a publication, captions of the library look for their own pictures.

The pictures are searched meanwhile: what is found out is added to the pointer. Nothing depends on it. A stop, an error
or a kill leaves the index as it was published.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from app.bootstrap import open_bank
from app.catalog.hubs import LEAST_CAPTIONS, Examination, examine
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.types import Vectors, row_id
from indexer.plan import Run

log = logging.getLogger(__name__)

MOST_CAPTIONS: Final = 500
"""That are embedded. Of 500, a gain of one point is five captions."""

LOOKED_THROUGH: Final = 20_000
"""Pictures among which captions are looked for: a fixed random sample of a larger library."""

PICTURES: Final = 1000
"""Records that are read together."""

TEXTS: Final = 32
"""Captions that are embedded together."""

MAX_S: Final = 60.0
"""Embedding that takes longer is given up: a large model on a small machine."""


def examine_hubs(
    run: Run,
    before: Snapshot | None,
    after: Snapshot,
    *,
    captioned: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Snapshot:
    """The state in the end: `after`, with what was found out about its hubs.

    Only a new generation is examined, or one that was not and has got captions, and only where the run has loaded the
    model. Errors are only logged.
    """
    if not _is_due(run, before, after, captioned):
        return after
    try:
        bank = open_bank(run.parts, len(after.records))
        if bank is None:
            return after
        view = View(after)
        captions = _captions(view)
        if len(captions) < LEAST_CAPTIONS:
            return run.parts.catalog.keep_examination(after, None)
        run.progress.phase("checking the ranking", len(captions))
        vectors = _embedded([text for _, text in captions], run, clock)
        if vectors is None:
            return after
        rows = np.array([row for row, _ in captions], np.int64)
        examination = examine(vectors, rows, bank, view.nearest_rows, view.vectors_of)
        _tell(examination)
        return run.parts.catalog.keep_examination(after, examination)
    except Exception:  # the run is published
        log.warning("Whether searches gain by fewer hubs could not be examined; the index is ready.", exc_info=True)
        return after


def _is_due(run: Run, before: Snapshot | None, after: Snapshot, captioned: int) -> bool:
    is_new = before is None or before.pointer.generation != after.pointer.generation
    is_wanted = run.parts.settings.search.fewer_hubs == "auto" and run.parts.model.is_loaded and not run.stop()
    return is_wanted and (is_new or (captioned > 0 and after.pointer.hubs is None))


def _captions(view: View) -> list[tuple[int, str]]:
    """Row ids with captions, each caption once: the first ones of the view's sample."""
    rows = view.sample(LOOKED_THROUGH).tolist()
    found: dict[str, int] = {}
    for first in range(0, len(rows), PICTURES):
        for record in view.records_of(rows[first : first + PICTURES]):
            if record.caption:
                found.setdefault(record.caption, row_id(record.image_id))
        if len(found) >= MOST_CAPTIONS:
            break
    return [(row, text) for text, row in found.items()][:MOST_CAPTIONS]


def _embedded(texts: Sequence[str], run: Run, clock: Callable[[], float]) -> Vectors | None:
    """(N, D) float32, unit rows; None where that takes too long, or the run is to stop."""
    ends_s = clock() + MAX_S
    vectors: list[Vectors] = []
    for first in range(0, len(texts), TEXTS):
        if clock() > ends_s:
            log.info("Whether searches gain by fewer hubs was not examined: captions take too long to embed here.")
            return None
        if run.stop():
            return None
        some = texts[first : first + TEXTS]
        vectors.append(run.parts.model.embedder.encode_texts(some))
        run.progress.advance(len(some))
    return np.concatenate(vectors)


def _tell(found: Examination) -> None:
    log.log(
        logging.INFO if found.gains else logging.DEBUG,
        "%d captions looked for their pictures: R@1 %.3f and R@10 %.3f by cosine, %.3f and %.3f with fewer hubs. "
        "Searches of texts rank %s.",
        found.captions, *found.plain, *found.corrected, "with fewer hubs" if found.gains else "by cosine",
    )  # fmt: skip
