"""Tuning an inverted file when it is built: how many lists to scan for the recall asked for, and the recall reached.

The truth is exact search over the vectors that the index was built from, or over those that it holds where the first
are gone. Queries are made from rows: near ones (a row and some noise) and far ones (between two rows), because a text
lies far from every picture. Half of the queries tune, the other half measure. Near and far queries must both reach the
recall by one standard error, because the mean over a sample is above the true mean half of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.types import Ids, Vectors
from app.vectors.base import Accuracy, RowReader
from app.vectors.faiss.flat import Mask
from app.vectors.faiss.ivf import Eligible, IvfIndex

NEIGHBOURS = 10
QUERIES = 200
"""In each half, near and far together."""

SPARED = 0.003
"""Recall to give up rather than scan every list, where the codes are too coarse for the recall asked for."""

REFINEMENTS = (10, 20, 40, 80)

CHUNK_ROWS = 50_000

NOISE = 0.5
"""Length of the noise that is added to a row for a near query."""

SHARES = (1.0, 0.1, 0.01)
"""Eligible rows among all rows of the lists that hold one."""

REGION = 0.25
"""Share of the lists in a selection of neighbouring lists; pictures of one folder are often that near."""

_STEPS = tuple(sorted({round(2 ** (power / 2)) for power in range(2, 40)}))


@dataclass(frozen=True)
class _Trial:
    """A selection of rows (None: all) and the exact answers to the queries in it."""

    among: Eligible | None
    share: float
    truth: Ids


def tune(index: IvfIndex, read: RowReader, shape: str, recall: float, *, seed: int = 0) -> Accuracy:
    """Tune `index` over the vectors that `read` returns, and measure it."""
    rng = np.random.default_rng(seed)
    tuning, check = np.split(_queries(len(index), read, rng), 2)
    selections = list(_selections(index, rng))
    exact = _exact_answers(len(index), read, tuning, [None, *(among.rows for _, among in selections)])
    trials = [_Trial(None, 1.0, exact[0])] + [
        _Trial(among, share, truth) for (share, among), truth in zip(selections, exact[1:], strict=True)
    ]
    index.accuracy = replace(
        index.accuracy, refine=_refinement(index, trials, tuning, recall) if shape == "ivf_rabitq" else 1
    )
    everything = _probes(index, trials[0], tuning, recall)
    filtered: dict[float, int] = {}
    for trial in trials[1:]:
        filtered[trial.share] = max(_probes(index, trial, tuning, recall), filtered.get(trial.share, 0))
    (truth,) = _exact_answers(len(index), read, check, [None])
    _, found = index.search(check, NEIGHBOURS, probes=everything)
    return Accuracy(
        shape,
        False,
        round(recall_of(found, truth), 4),
        len(check),
        everything,
        tuple(filtered.items()),
        index.accuracy.refine,
    )


def recall_of(found: Ids, truth: Ids) -> float:
    """Mean share of each row of `truth` (Q, n) that is in the same row of `found`; -1 in `truth` is padding."""
    return float(np.mean(_shares(found, truth)))


def _shares(found: Ids, truth: Ids) -> list[float]:
    pairs = zip(truth, found, strict=True)
    return [float(np.isin(row[row >= 0], got).mean()) for row, got in pairs if (row >= 0).any()]


def _probes(index: IvfIndex, trial: _Trial, queries: Vectors, recall: float) -> int:
    """The fewest lists with which near and far queries both reach `recall`; if the codes can't, about their best."""
    most = int(trial.among.lists.sum()) if trial.among else index.lists
    steps = [*(step for step in _STEPS if step < most), most]
    got: list[float] = []
    for step in steps:
        got.append(_recall_at(index, trial, queries, step))
        if got[-1] >= recall or (len(got) > 6 and got[-1] - got[-5] < 0.001):
            break
    return steps[next(number for number, value in enumerate(got) if value >= min(recall, max(got) - SPARED))]


def _refinement(index: IvfIndex, trials: Sequence[_Trial], queries: Vectors, recall: float) -> int:
    """The fewest candidates for each hit with which scanning all lists reaches `recall`."""
    for refine in REFINEMENTS[:-1]:
        index.accuracy = replace(index.accuracy, refine=refine)
        if all(_recall_at(index, trial, queries, index.lists) >= recall for trial in trials):
            return refine
    return REFINEMENTS[-1]


def _recall_at(index: IvfIndex, trial: _Trial, queries: Vectors, probes: int) -> float:
    """The mean recall less one standard error, of near or of far queries: the lower of the two."""
    _, found = index.search(queries, NEIGHBOURS, trial.among, probes=probes)
    kinds = [_shares(found[kind::2], trial.truth[kind::2]) for kind in (0, 1)]
    return min(float(np.mean(shares) - np.std(shares) / len(shares) ** 0.5) for shares in kinds)


def _queries(count: int, read: RowReader, rng: np.random.Generator) -> Vectors:
    """(2 x QUERIES, D) unit queries, near and far by turns."""
    rows = read(rng.integers(0, count, 3 * QUERIES))
    noise = rng.standard_normal((QUERIES, rows.shape[1])).astype(np.float32) * np.float32(NOISE / rows.shape[1] ** 0.5)
    near, far = rows[:QUERIES] + noise, rows[QUERIES : 2 * QUERIES] + rows[2 * QUERIES :]
    queries = np.stack([near, far], 1).reshape(2 * QUERIES, -1)
    lengths = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
    unit: Vectors = (queries / lengths).astype(np.float32)
    return unit


def _selections(index: IvfIndex, rng: np.random.Generator) -> Iterator[tuple[float, Eligible]]:
    """For each share: rows anywhere, and rows of neighbouring lists."""
    count = len(index)
    together = np.repeat(index.lists_near(int(rng.integers(index.lists)), REGION), np.diff(index.offsets))
    for share in SHARES:
        chosen = rng.random(count) < share
        for rows in (chosen, chosen & together):
            if rows.sum() > NEIGHBOURS and not rows.all():
                yield share, index.eligible(rows)


def _exact_answers(count: int, read: RowReader, queries: Vectors, masks: Sequence[Mask | None]) -> list[Ids]:
    """For each mask the (Q, NEIGHBOURS) positions of the best rows under it, -1 where there are fewer."""
    nothing = np.full((len(queries), NEIGHBOURS), -np.inf, np.float32), np.full((len(queries), NEIGHBOURS), -1)
    best = [nothing for _ in masks]
    for start in range(0, count, CHUNK_ROWS):
        positions = np.arange(start, min(start + CHUNK_ROWS, count))
        scores = queries @ read(positions).T
        for number, mask in enumerate(masks):
            places = positions if mask is None else positions[mask[positions]]
            best[number] = _merged(*best[number], scores[:, places - start], places)
    return [found for _, found in best]


def _merged(scores: Vectors, positions: Ids, more: Vectors, places: Ids) -> tuple[Vectors, Ids]:
    if more.shape[1] > NEIGHBOURS:
        top = np.argpartition(-more, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        more, chosen = np.take_along_axis(more, top, 1), places[top]
    else:
        chosen = np.broadcast_to(places, more.shape)
    scores, positions = np.hstack([scores, more]), np.hstack([positions, chosen])
    top = np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(scores, top, 1), np.take_along_axis(positions, top, 1)
