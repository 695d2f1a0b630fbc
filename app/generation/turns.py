"""Whose job is next: callers take turns, and each caller's jobs keep their order."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from app.errors import Overloaded
from app.generation.ledger import Entry

REMEMBERED: Final = 1000
"""Callers whose last turns are remembered."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """When the claim of a job was last seen to change."""

    etag: str
    seen_at: float


class Turns:
    """The queue as this replica sees it. Jobs of other replicas are in it too."""

    def __init__(self, max_waiting: int, lease_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """`lease_s`: a job whose replica has given no sign of life for this long is taken over.

        No clock is compared with another machine's.
        """
        self._max_waiting = max_waiting
        self._lease_s = lease_s
        self._now = now
        self._entries: dict[str, Entry] = {}
        self._signs: dict[str, _Sign] = {}
        self._new: set[str] = set()
        """Jobs that came while the queue was being listed."""
        self._served: OrderedDict[str, None] = OrderedDict()
        """Callers, the one whose turn was last at the end."""

    @property
    def waiting(self) -> int:
        """How many jobs wait, as far as this replica knows."""
        return sum(not entry.is_claimed for entry in self._entries.values())

    def __contains__(self, generation_id: str) -> bool:
        return generation_id in self._entries

    def check_room(self, caller: str, arriving: int, retry_after_s: int) -> None:
        """Raise Overloaded when the queue is full. `arriving` jobs are being accepted.

        A caller that has no job in it gets a place all the same, until there are twice as many as allowed: one caller
        can't fill the queue for the others.
        """
        waits = any(entry.caller == caller for entry in self._entries.values())
        most = self._max_waiting if waits else 2 * self._max_waiting
        if self.waiting + arriving >= most:
            raise Overloaded(
                f"{self.waiting + arriving} pictures wait to be drawn (GENERATION_MAX_QUEUE={self._max_waiting}).",
                retry_after_s=retry_after_s,
            )

    def add(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._new.add(entry.id)

    def discard(self, generation_id: str) -> None:
        self._entries.pop(generation_id, None)

    def begin_listing(self) -> None:
        """What is added from now on may be missing in the list that `replace` gets."""
        self._new.clear()

    def replace(self, listed: Iterable[Entry]) -> None:
        """The queue as it is in the bucket."""
        new = {entry.id: entry for entry in self._entries.values() if entry.id in self._new}
        self._entries = new | {entry.id: entry for entry in listed}
        self._signs = {entry.id: self._sign(entry) for entry in self._entries.values() if entry.is_claimed}

    def next(self) -> Entry | None:
        """The oldest job of the caller whose last turn is the longest ago, and who then has had this turn."""
        free = sorted(filter(self._is_free, self._entries.values()), key=lambda entry: entry.id)
        if not free:
            return None
        order = {caller: place for place, caller in enumerate(self._served)}
        found = min(free, key=lambda entry: order.get(entry.caller, -1))
        self._served.pop(found.caller, None)
        self._served[found.caller] = None
        while len(self._served) > REMEMBERED:
            self._served.popitem(last=False)
        return found

    def _is_free(self, entry: Entry) -> bool:
        if not entry.is_claimed:
            return True
        sign = self._signs.get(entry.id)
        return sign is not None and self._now() - sign.seen_at >= self._lease_s

    def _sign(self, entry: Entry) -> _Sign:
        last = self._signs.get(entry.id)
        return last if last and last.etag == entry.etag else _Sign(entry.etag, self._now())
