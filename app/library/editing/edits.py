"""Changes to the index by many callers at once, published together: one journal for all that wait (group commit).

While one publication is under way, further edits gather; the next one takes them all. Edits of the same picture go
into different publications, so that each one sees what the other has done.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from app.catalog.changes import Changes
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import AppError, Conflict, ImageNotFound, Overloaded, Unavailable

log = logging.getLogger(__name__)

ATTEMPTS = 8
"""Publications after which an edit is given up: each time another writer changed just these pictures."""

MAX_ROWS = 2000
"""Rows that wait for one publication, with the edit that exceeds it. Their vectors are in memory, and in one file."""

Result = TypeVar("Result")

Plan = Callable[[View | None], tuple[Changes, Result]]
"""From the state that is served, None before the first publication: what to change, and what to tell the caller.

Raises AppError when the edit can't be made. Runs in a worker thread, and again when other writers were first.
"""

Publish = Callable[[Callable[[View | None], Changes]], View]
"""As `LiveCatalog.publish`."""


@dataclass(frozen=True)
class Edit(Generic[Result]):
    """What one caller wants to change."""

    image_ids: frozenset[str]
    """Pictures that it may change."""
    plan: Plan[Result]


@dataclass(eq=False)
class _Waiting:
    edit: Edit[Any]
    outcome: "asyncio.Future[Any]"


class Edits:
    """Publishes edits. For one event loop."""

    def __init__(self, publish: Publish, max_waiting: int) -> None:
        self._publish = publish
        self._max_waiting = max_waiting
        self._worker = Workers(1, max_waiting)
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many edits wait for the next publication."""
        return len(self._waiting)

    async def make(self, edit: Edit[Result]) -> Result:
        """What the edit's plan tells, once its changes are published and served.

        A caller that is cancelled leaves; its edit is made all the same. Raises what the plan raises, Overloaded,
        Conflict, StorageUnavailable, VectorStoreUnavailable, IndexMismatch, IndexCorrupt.
        """
        if self._stopping:
            raise Unavailable("The service is stopping and changes nothing any more. Ask again when it is back.")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many changes are waiting. Try again in a moment.")
        waiting = _Waiting(edit, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._publish_all(), name="edits")
        result: Result = await waiting.outcome
        return result

    async def stop(self) -> None:
        """Publish what is waiting and refuse new edits."""
        self._stopping = True
        if self._task is not None:
            await asyncio.wait([self._task])
        self._worker.close()

    async def _publish_all(self) -> None:
        while self._waiting:
            group = self._next_group()
            edits = [waiting.edit for waiting in group]
            try:
                outcomes = await self._worker.run(_Group(edits).publish, self._publish)
            except Exception as error:  # noqa: BLE001 - each caller gets it, and the next group is published
                outcomes = [error] * len(group)
            for waiting, outcome in zip(group, outcomes, strict=True):
                _tell(waiting.outcome, outcome)

    def _next_group(self) -> list[_Waiting]:
        """The edits from the front of the queue that touch different pictures; the others keep their order."""
        group: list[_Waiting] = []
        taken: set[str] = set()
        left: deque[_Waiting] = deque()
        while self._waiting:
            waiting = self._waiting.popleft()
            if taken.isdisjoint(waiting.edit.image_ids) and len(taken) < MAX_ROWS:
                group.append(waiting)
            else:
                left.append(waiting)
            taken |= waiting.edit.image_ids
        self._waiting = left
        return group


class _Group:
    """Edits of different pictures, published together."""

    def __init__(self, edits: Sequence[Edit[Any]]) -> None:
        self._edits = edits
        self._outcomes: dict[int, Any] = {}
        """By the edit's place: what its plan told, or the error that its caller gets."""
        self._planned: dict[int, tuple[Changes, Any]] = {}

    @property
    def _left(self) -> list[int]:
        return [number for number in range(len(self._edits)) if number not in self._outcomes]

    def publish(self, publish: Publish) -> list[Any]:
        """For each edit what its plan told, or an error."""
        try:
            self._publish_until_held(publish)
        except AppError as error:
            self._fail(error)
        return [self._outcomes[number] for number in range(len(self._edits))]

    def _publish_until_held(self, publish: Publish) -> None:
        for _ in range(ATTEMPTS):
            view = publish(self._plan)
            for number, (changes, told) in self._planned.items():
                if holds(view, changes):
                    self._outcomes[number] = told
            if not self._left:
                return
            log.info("Other writers changed %d of the same pictures; planning again.", len(self._left))
        self._fail(Conflict("Other writers keep changing the same pictures. Try again in a moment."))

    def _plan(self, view: View | None) -> Changes:
        self._planned = {}
        for number in self._left:
            try:
                self._planned[number] = self._edits[number].plan(view)
            except AppError as error:
                self._outcomes[number] = error
        return joined(changes for changes, _ in self._planned.values())

    def _fail(self, error: AppError) -> None:
        self._outcomes |= dict.fromkeys(self._left, error)


def joined(all_changes: Iterable[Changes]) -> Changes:
    """The changes together; they touch different pictures."""
    parts = [changes for changes in all_changes if changes]
    if len(parts) <= 1:
        return parts[0] if parts else Changes()
    vectors = [changes.vectors for changes in parts if changes.added]
    return Changes(
        added=tuple(record for changes in parts for record in changes.added),
        vectors=np.concatenate(vectors) if vectors else Changes().vectors,
        removed=frozenset().union(*(changes.removed for changes in parts)),
        skipped=tuple(skip for changes in parts for skip in changes.skipped),
        forgotten=frozenset().union(*(changes.forgotten for changes in parts)),
    )


def holds(view: View, changes: Changes) -> bool:
    """Whether the view shows these rows as they were to be added, and not those that were to be removed."""
    try:
        if any(view.record(record.image_id) != record for record in changes.added):
            return False
    except ImageNotFound:
        return False
    return not any(image_id in view for image_id in changes.removed)


def _tell(future: "asyncio.Future[Any]", outcome: Any) -> None:
    if future.done():
        return  # the caller has gone
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
