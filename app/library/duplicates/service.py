"""The duplicates of a view, page by page, and the groups of them that a person has dismissed.

All pictures are compared once, at the first question. After that, pictures that were added or changed are compared with
all others, and those that are gone are left out: what a change costs depends on the change.
"""

import asyncio
import base64
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import orjson
from cachetools import LRUCache
from numpy.typing import NDArray

from app.catalog.columns import content_code
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import AppError, DismissalNotFound, InvalidInput, StillComparing
from app.http.addresses import Locator
from app.library.duplicates.candidates import NEIGHBOURS, Places
from app.library.duplicates.dismissals import Dismissal, Dismissals, Dismissed
from app.library.duplicates.groups import Group, Grouping, Kind, Member, token_of
from app.library.duplicates.pairs import Comparer, Levels, Pairs, Pictures, calibrate
from app.pictures.perceptual import Mask
from app.types import Hit, Ids, row_id

log = logging.getLogger(__name__)

WAIT_S: Final = 20.0
"""A request waits this long for a comparison; then the client is told to ask again."""

SCOPES: Final = 4
"""Scopes whose comparisons are kept."""

MAX_SCOPES_WAITING: Final = 64
"""Scopes that wait for the comparison of another one."""

MAX_OTHERS: Final = 100
"""Pictures of one group that an answer names, beside the one to keep."""

FEW_NEW: Final = 64
"""New pictures up to this many are always compared alone; more of them up to a fiftieth of all."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found among the pictures of one view. It does not keep the view, with its index, in memory."""

    state: tuple[str, ...]
    """As `View.state`."""
    fingerprint: str
    """Of the model that made the vectors."""
    groups: dict[Kind, list[Group]]
    """Those that free the most bytes first."""
    uncompared: int
    """Pictures without a perceptual hash: versions before did not make one."""
    pictures: Pictures
    """Those that were compared: one for each content."""
    contents: NDArray[np.uint64]
    levels: Levels
    calibrated_for: int
    """How many pictures there were when the levels were found."""
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group with its pictures."""

    group: Group
    keep: Hit
    others: list[tuple[Hit, Member]]
    dismissal: Dismissal | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the groups of one kind."""

    groups: list[FoundGroup]
    count: int
    """Groups of this kind in all."""
    freed_bytes: int
    """Size of all that need not be kept."""
    uncompared: int
    next_cursor: str | None
    generation: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which groups."""

    kind: Kind
    dismissed: bool = False
    """Those that were dismissed instead of all others."""
    image_id: str | None = None
    """Only with this picture in them."""


class Duplicates:
    """Finds duplicates. For one event loop."""

    def __init__(
        self, dismissals: Dismissals, locator: Locator, workers: Workers, burst_s: float, wait_s: float = WAIT_S
    ) -> None:
        """`workers` read and write the dismissals."""
        self._dismissals = dismissals
        self._locator = locator
        self._workers = workers
        self._burst_s = burst_s
        self._wait_s = wait_s
        self._comparing = Workers(1, MAX_SCOPES_WAITING)
        self._compared: LRUCache[tuple[str, ...], Comparison] = LRUCache(SCOPES)
        self._tasks: dict[tuple[str, ...], asyncio.Task[None]] = {}

    async def page(self, view: View, wanted: Wanted, k: int, cursor: str | None = None) -> Page:
        """At most `k` groups after `cursor`.

        Raises InvalidInput for a cursor of another list, StillComparing, StorageUnavailable, VectorStoreUnavailable,
        IndexCorrupt, Overloaded.
        """
        after = _read_cursor(cursor, wanted) if cursor else None
        comparison = await self._comparison(view)
        dismissed = await self._workers.run(self._dismissals.read)
        return await self._workers.run(partial(self._page, view, comparison, dismissed, wanted, k=k, after=after))

    async def dismiss(self, view: View, kind: Kind, image_ids: list[str]) -> Dismissal:
        """Show a group of just these pictures, or of some of them, no more.

        Raises ImageNotFound, InvalidInput, Conflict, StorageUnavailable.
        """
        records = [view.record(image_id) for image_id in sorted(set(image_ids))]
        if len(records) < 2:
            raise InvalidInput("A group has at least two pictures. Send the ids of all of its pictures.")
        tokens = frozenset(
            token_of(row_id(record.image_id), int(content_code(record.content_hash))) for record in records
        )
        return await self._workers.run(self._dismissals.add, Dismissal.of(kind, tokens))

    async def restore(self, view: View, dismissal_id: str) -> None:
        """Show a dismissed group again. Raises DismissalNotFound, Conflict, StorageUnavailable."""
        dismissed = await self._workers.run(self._dismissals.read)
        found = dismissed.by_id.get(dismissal_id)
        if found is None or not any(image_id in view for image_id in found.image_ids):
            raise DismissalNotFound(f"No group with the id {dismissal_id!r} is dismissed.")
        await self._workers.run(self._dismissals.remove, dismissal_id)

    @property
    def is_comparing(self) -> bool:
        """Whether a comparison goes on."""
        return bool(self._tasks)

    async def stop(self) -> None:
        """Wait for no comparison any more."""
        for task in tuple(self._tasks.values()):
            task.cancel()
        self._comparing.close()

    async def _comparison(self, view: View) -> Comparison:
        """The comparison of this state. At most one of a scope goes on at a time, for all that ask."""
        scope = view.state[1:]
        try:
            async with asyncio.timeout(self._wait_s):
                while (known := self._compared.get(scope)) is None or known.state != view.state:
                    await asyncio.shield(self._tasks.get(scope) or self._begin(scope, view, known))
                return known
        except TimeoutError as error:
            raise StillComparing("The pictures are still being compared. Ask again in a moment.") from error

    def _begin(self, scope: tuple[str, ...], view: View, before: Comparison | None) -> "asyncio.Task[None]":
        async def run() -> None:
            try:
                self._compared[scope] = await self._comparing.run(compare, view, self._burst_s, before)
            finally:
                del self._tasks[scope]

        task = self._tasks[scope] = asyncio.create_task(run())
        task.add_done_callback(_log_error)
        return task

    def _page(
        self,
        view: View,
        comparison: Comparison,
        dismissed: Dismissed,
        wanted: Wanted,
        *,
        k: int,
        after: "Position | None",
    ) -> Page:
        found = [(group, dismissed.find(group)) for group in comparison.groups[wanted.kind]]
        if wanted.image_id is not None:
            row = row_id(wanted.image_id) if wanted.image_id in view else None
            found = [(group, by) for group, by in found if row in (group.keep, *(each.row for each in group.others))]
        listed = [(group, by) for group, by in found if (by is not None) == wanted.dismissed]
        rest = listed if after is None else [pair for pair in listed if _position(pair[0]) > after]
        shown = rest[:k]
        return Page(
            [self._located(view, group, by) for group, by in shown],
            len(listed),
            sum(group.freed_bytes for group, _ in listed),
            comparison.uncompared,
            _write_cursor(shown[-1][0], wanted) if len(rest) > k else None,
            view.generation,
        )

    def _located(self, view: View, group: Group, dismissal: Dismissal | None) -> FoundGroup:
        members = group.others[:MAX_OTHERS]
        rows = [group.keep, *(member.row for member in members)]
        keep, *others = view.records_of(rows)
        vectors = view.vectors_of(rows)
        scores = (vectors[1:] @ vectors[0]).tolist()
        located = [
            (self._locator.locate(record, score), member)
            for record, score, member in zip(others, scores, members, strict=True)
        ]
        return FoundGroup(group, self._locator.locate(keep, 1.0), located, dismissal)


def _log_error(task: "asyncio.Task[None]") -> None:
    """Of a task whose caller may have left."""
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, AppError):
        log.error("The comparison for duplicates failed.", exc_info=error)


def compare(view: View, burst_s: float, before: Comparison | None = None) -> Comparison:
    """Compare all pictures of a view; with the comparison of an older state, only what is new.

    Raises VectorStoreUnavailable, IndexCorrupt.
    """
    columns = view.columns
    grouping = Grouping(columns)
    copies, distinct = grouping.same_bytes()
    pictures = Pictures(columns.rows[distinct], columns.hashes[distinct], columns.taken_at[distinct])
    contents = columns.contents[distinct]
    known = None if before is None else _known(before, view, pictures, contents)
    if before is None or known is None:
        calibrated_for = len(distinct)
        levels = calibrate(pictures, view.vectors_of)
        pairs = Comparer(view.vectors_of, levels, burst_s).all_pairs(pictures)
    else:
        calibrated_for, levels = before.calibrated_for, before.levels
        staying = pictures.rows[known]
        kept = before.pairs.where(np.isin(before.pairs.first, staying) & np.isin(before.pairs.second, staying))
        near = _near(view, pictures, ~known, levels.near)
        pairs = kept.joined(Comparer(view.vectors_of, levels, burst_s).pairs_with(~known, pictures, near))
    photos, similar = grouping.related(pairs)
    groups = {Kind.BYTES: copies, Kind.PHOTO: photos, Kind.SIMILAR: similar}
    for each in groups.values():
        each.sort(key=_position)
    uncompared = int((~columns.hashes.any(axis=(1, 2))).sum())
    return Comparison(
        view.state,
        view.indexed_by.fingerprint,
        groups,
        uncompared,
        pictures,
        contents,
        levels,
        calibrated_for,
        pairs,
    )


def _known(before: Comparison, view: View, pictures: Pictures, contents: NDArray[np.uint64]) -> Mask | None:
    """Which pictures were compared before and are the same; None where all should be compared again."""
    old, count = before.pictures, len(pictures.rows)
    is_near = before.calibrated_for <= 2 * count and count <= 2 * before.calibrated_for
    if not is_near or not len(old.rows) or before.fingerprint != view.indexed_by.fingerprint:
        return None
    order = np.argsort(old.rows, kind="stable")
    at = order[np.minimum(np.searchsorted(old.rows, pictures.rows, sorter=order), len(order) - 1)]
    known = (old.rows[at] == pictures.rows) & (before.contents[at] == contents)
    known &= (old.hashes[at] == pictures.hashes).all(axis=(1, 2))
    known &= (old.taken_at[at] == pictures.taken_at) | (np.isnan(old.taken_at[at]) & np.isnan(pictures.taken_at))
    return known if (~known).sum() <= max(FEW_NEW, count // 50) else None


def _near(view: View, pictures: Pictures, new: Mask, least: float) -> Places:
    """The pairs of new pictures with those whose vectors are near, found by the index."""
    places = {row: place for place, row in enumerate(pictures.rows.tolist())}
    pairs: list[tuple[int, int]] = []
    for place in np.flatnonzero(new).tolist():
        (vector,) = view.vectors_of([int(pictures.rows[place])])
        for record, score in view.search(vector, NEIGHBOURS + 1):
            other = places.get(row_id(record.image_id))
            if other is not None and score >= least:
                pairs.append((place, other))
    found: Ids = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


Position = tuple[int, str]


def _position(group: Group) -> Position:
    """What the groups of a kind are sorted by."""
    return -group.freed_bytes, group.id


def _write_cursor(last: Group, wanted: Wanted) -> str:
    content = orjson.dumps([*_position(last), wanted.kind, wanted.dismissed, wanted.image_id])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _read_cursor(text: str, wanted: Wanted) -> Position:
    """Raises InvalidInput for anything but a cursor of this list."""
    try:
        freed, group, *of = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        if isinstance(freed, int) and isinstance(group, str) and of == [wanted.kind, wanted.dismissed, wanted.image_id]:
            return freed, group
    except (ValueError, TypeError):  # no base64, no JSON, other JSON
        pass
    raise InvalidInput(
        "The cursor can't be read, or it is of another list. Send a cursor back as it came, with the same parameters, "
        "or start again without one."
    )
