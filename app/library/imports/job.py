"""One import: the pictures that it brings, what became of each, and how it is followed and cut short."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Final, Self, TypeAlias

import anyio

from app.errors import AppError
from app.types import Source


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of the request. The import closes it."""

    name: str
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Address:
    """A picture on the web."""

    url: str
    source: Source | None = None
    """What is known of it besides its address."""


@dataclass(frozen=True, slots=True)
class WebQuery:
    """Pictures that a provider finds on the web."""

    query: str
    provider: str
    count: int


Origin: TypeAlias = SentFile | Address


class Outcome(StrEnum):
    """What became of one picture."""

    WAITING = "waiting"
    ADDED = "added"
    PRESENT = "present"
    """The folder had a picture of the same content."""
    REFUSED = "refused"
    """It can't be added as it is."""
    FAILED = "failed"
    """It may work another time."""
    LEFT = "left"
    """The import was cancelled, or the service stopped, before its turn."""


class ImportState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """The web search found nothing out; `error` says why."""
    CANCELLED = "cancelled"
    """A client cancelled it before the end."""
    STOPPED = "stopped"
    """The service stopped before the end."""


WHY_LEFT: Final = {
    ImportState.CANCELLED: "The import was cancelled before its turn.",
    ImportState.STOPPED: "The service stopped before its turn.",
}
"""What the pictures say that are left, by why the import was cut short."""


@dataclass(eq=False)
class Item:
    """One picture of an import."""

    name: str
    """The file's name or the address, as it was sent."""
    outcome: Outcome = Outcome.WAITING
    image_id: str | None = None
    object_key: str | None = None
    reason: str | None = None
    """Why it was not added."""


@dataclass(eq=False)
class Import:
    """One import, from the request that started it to its last picture."""

    id: str
    folder: str
    query: WebQuery | None = None
    state: ImportState = ImportState.RUNNING
    items: list[Item] = field(default_factory=list)
    over: list[Item] = field(default_factory=list)
    """The items that have an outcome, in the order in which they got it."""
    error: str | None = None
    """Why it failed, as clients may know it."""
    cause: AppError | None = None
    """The same with all that the operator may know."""
    created_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""
    finished_at: float | None = None
    cut_as: ImportState | None = None
    """Why it brings no further pictures, CANCELLED or STOPPED; None: it goes on."""
    _reading: set[anyio.CancelScope] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, origins: Sequence[Origin] | WebQuery, folder: str) -> Self:
        job = cls(uuid.uuid4().hex, folder)
        if isinstance(origins, WebQuery):
            job.query = origins
        else:
            job.expect(origins)
        return job

    def expect(self, origins: Sequence[Origin]) -> None:
        """These are the pictures that it brings."""
        self.items = [Item(each.name if isinstance(each, SentFile) else each.url) for each in origins]

    def counts(self) -> dict[Outcome, int]:
        counted = Counter(item.outcome for item in self.items)
        return {outcome: counted[outcome] for outcome in Outcome}

    @property
    def is_over(self) -> bool:
        return self.state is not ImportState.RUNNING

    def settle(self, item: Item) -> None:
        """The item has its outcome."""
        self.over.append(item)
        self._tell()

    def cut(self, state: ImportState) -> None:
        """Read and fetch no further pictures, for the first of the reasons given. One that is over stays as it is."""
        if self.is_over or self.cut_as:
            return
        self.cut_as = state
        for scope in tuple(self._reading):
            scope.cancel()

    @contextmanager
    def until_cut(self) -> Iterator[None]:
        """What is inside is cancelled at once when the import is cut short: nothing is lost with it."""
        with anyio.CancelScope() as scope:
            self._reading.add(scope)
            if self.cut_as:
                scope.cancel()
            try:
                yield
            finally:
                self._reading.discard(scope)

    def finish(self, state: ImportState, error: str | None = None) -> None:
        self.state, self.error, self.finished_at = state, error, time.time()
        self._tell()

    async def watch(self, seen: int = 0) -> AsyncIterator[Item]:
        """Every item that gets its outcome, after the first `seen` of them, until the import is over."""
        while True:
            changed = self._changed
            while seen < len(self.over):
                seen += 1
                yield self.over[seen - 1]
            if self.is_over:
                return
            if changed is self._changed:
                await changed.wait()

    async def ended(self) -> None:
        """Wait until it is over."""
        async for _ in self.watch(len(self.items)):
            pass

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
