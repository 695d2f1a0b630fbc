"""Whether the pictures that a search found fit the query: a relevance for each, and one word for the whole answer.

The scales of a library (`scale.py`) are made before its state is served, from a sample of the library and the bank.
A search then costs one product of its vector with the sample. What a picture is measured against is in its record; the
few pictures whose records lack it are measured when they are found.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from app.catalog.view import View
from app.errors import AppError, NotConfigured, Unavailable, VectorStoreUnavailable
from app.models.bank import Bank
from app.search.modalities import Kind, Modalities, measure
from app.search.relevance.scale import Scale, Spread, scale_for_pictures, scale_for_texts, standings_among
from app.types import ImageRecord, Vectors, row_id

log = logging.getLogger(__name__)

SAMPLE_SIZE: Final = 1024
"""Pictures in the sample: some megabytes."""

MAX_SCOPES: Final = 64
"""For how many sets of visible folders scales are kept."""

CHECKED: Final = 32
"""Records of the sample that are measured again, to see whether the index was made with the bank of this version."""

TOLERANCE: Final = 0.005
"""By which measures may differ: they are rounded, and were perhaps made in other arithmetic."""

LEAST_RELEVANCE: Final = 0.5
"""A good match has a picture of at least this relevance."""

STANDS_OUT: Final = 2.0
"""And its best pictures are this many deviations nearer than the library is."""

BEST: Final = 3
"""How many pictures are the best ones."""

MAX_MEASURED: Final = 20_000
"""Pictures whose standings are kept because their records lack them: some megabytes."""


class Judgement(NamedTuple):
    """How well an answer fits its query."""

    relevances: list[float]
    """0 to 1, in the order of the pictures. 0.5: it may fit, or not."""
    good_match: bool
    """False: nothing that was found fits."""


@dataclass(frozen=True, eq=False)
class Scales:
    """The scales of one library, for both kinds of queries."""

    texts: Scale
    pictures: Scale
    bank: Bank
    trusts_records: bool
    """Whether what the records say was measured with this bank."""
    modalities: Modalities | None
    """What terms of both kinds are centred and scaled by; None in a library of less than two pictures."""
    measured: dict[str, Sequence[float]] = field(default_factory=dict, repr=False)
    """By content hash: the standings against the bank of pictures whose records lack them."""

    def scale_of(self, kind: Kind) -> Scale:
        return self.texts if kind == "text" else self.pictures

    def judge(self, kind: Kind, query: Vectors, found: Sequence[tuple[ImageRecord, float]], view: View) -> Judgement:
        """Of a query (D,) and the pictures that the view found, with their cosines."""
        scale = self.scale_of(kind)
        spread = scale.spread(query)
        records, scores = [record for record, _ in found], [score for _, score in found]
        standings = self._standings(records, view) if kind == "text" else self._among(records, view)
        relevances = [
            round(scale.relevance(score, standing, spread), 4)
            for score, standing in zip(scores, standings, strict=True)
        ]
        fits = max(relevances, default=0.0) >= LEAST_RELEVANCE
        return Judgement(relevances, fits and stands_out(scores, spread))

    def nearness_to_bank(self, records: Sequence[ImageRecord], view: View) -> list[float]:
        """(K,) as `ImageRecord.bank_near`, of pictures of the view. Raises VectorStoreUnavailable."""
        return [round(float(near), 4) for _, near in self._standings(records, view)]

    def _standings(self, records: Sequence[ImageRecord], view: View) -> list[Sequence[float]]:
        """(K, 2) against the bank."""
        known = [self._known_standing(record) for record in records]
        lacking = [record for record, each in zip(records, known, strict=True) if each is None]
        measured = iter(self._measure(lacking, view) if lacking else ())
        return [next(measured) if each is None else each for each in known]

    def _measure(self, records: Sequence[ImageRecord], view: View) -> list[Sequence[float]]:
        """(K, 2) against the bank, kept for the next search that finds the pictures."""
        rows = [row_id(record.image_id) for record in records]
        found: list[Sequence[float]] = self.bank.measure(view.vectors_of(rows)).tolist()
        if len(self.measured) + len(found) > MAX_MEASURED:
            self.measured.clear()
        self.measured.update(zip((record.content_hash for record in records), found, strict=True))
        return found

    def _known_standing(self, record: ImageRecord) -> Sequence[float] | None:
        standing = _standing_of(record) if self.trusts_records else None
        return standing or self.measured.get(record.content_hash)

    def _among(self, records: Sequence[ImageRecord], view: View) -> list[Sequence[float]]:
        """(K, 2) against the sample of the library."""
        if not records:
            return []
        rows = [row_id(each.image_id) for each in records]
        standings: list[Sequence[float]] = standings_among(view.vectors_of(rows), self.pictures.sample).tolist()
        return standings


def stands_out(scores: Sequence[float], spread: Spread) -> bool:
    """Whether the best of these pictures are much nearer to the query than the library is."""
    best = sorted(scores)[-BEST:]
    return sum(best) / len(best) - spread.median >= STANDS_OUT * spread.deviation


def _standing_of(record: ImageRecord) -> tuple[float, float] | None:
    mean, near = record.bank_mean, record.bank_near
    return None if mean is None or near is None else (mean, near)


def make_scales(view: View, bank: Bank) -> Scales:
    """The scales of what the view shows: half a second. Raises VectorStoreUnavailable."""
    rows = view.sample(SAMPLE_SIZE)
    if len(rows):
        rows = rows[view.has_vector(rows)]
    sample = view.vectors_of(rows.tolist()) if len(rows) else np.empty((0, bank.vectors.shape[1]), np.float32)
    records = view.records_of(rows[:CHECKED].tolist())
    return Scales(
        scale_for_texts(sample, bank),
        scale_for_pictures(sample),
        bank,
        _agree(records, sample[:CHECKED], bank),
        measure(sample, bank.vectors),
    )


def _agree(records: Sequence[ImageRecord], vectors: Vectors, bank: Bank) -> bool:
    """Whether the records that were measured say the same as the bank says now."""
    known = [place for place, record in enumerate(records) if record.bank_mean is not None]
    if not known:
        return True
    kept = np.array([(records[place].bank_mean, records[place].bank_near) for place in known], np.float64)
    return float(np.abs(kept - bank.measure(vectors[known])).max()) <= TOLERANCE


class Relevance:
    """Keeps the scales of the libraries that are searched. For several threads."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        """`is_wanted` as SEARCH_RELEVANCE."""
        self._is_wanted = is_wanted
        self._bank: Bank | None = None
        self._making = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[tuple[str, int], Scales]] = {}
        """By scope: the state of the library, as far as it matters, and its scales."""

    def use(self, bank: Bank) -> None:
        """Judge with this bank from now on; there was none before."""
        self._bank = bank

    @property
    def is_ready(self) -> bool:
        """Whether there is a bank to judge with."""
        return self._bank is not None

    def why_not(self) -> AppError:
        """The error of a search that asks for relevance where none is known."""
        if not self._is_wanted:
            return NotConfigured(
                "Relevance is not known here: SEARCH_RELEVANCE is false. Set it to true, or do without what needs it: "
                "min_relevance, `exclude`, `combine: all` and /search/matches."
            )
        return Unavailable("The service is still preparing what relevance is measured with. Try again shortly.")

    def measured(self, record: ImageRecord, vector: Vectors) -> ImageRecord:
        """The record of this vector (D,) with what the bank says of it."""
        return self._bank.measured([record], vector[None])[0] if self._bank else record

    def prepare(self, view: View) -> None:
        """Make the scales of a view that will be served. A failure is left to the first search, which tries again."""
        try:
            self.of(view)
        except VectorStoreUnavailable as error:
            log.info("The scales of relevance are made later: %s", error)

    def of(self, view: View) -> Scales | None:
        """The scales of the view, made where need be; None as long as there is no bank.

        A sample stands for its library until a new generation is published, or twice as many journals.
        Raises VectorStoreUnavailable.
        """
        if self._bank is None:
            return None
        return self._known(view) or self._make(view, self._bank)

    def _known(self, view: View) -> Scales | None:
        state, scales = self._kept.get(view.state[1:], (None, None))
        return scales if state == _state_of(view) else None

    def _make(self, view: View, bank: Bank) -> Scales:
        with self._making:
            if known := self._known(view):
                return known
            scales = make_scales(view, bank)
            scope = view.state[1:]
            self._kept.pop(scope, None)
            self._kept[scope] = _state_of(view), scales
            for oldest in list(self._kept)[:-MAX_SCOPES]:
                del self._kept[oldest]
            return scales


def _state_of(view: View) -> tuple[str, int]:
    return view.generation, view.journal.bit_length()
