"""Where sessions are kept: the protocol, and the memory of this process.

A store knows bytes only: the state, and named files. A session without requests is deleted after the idle time, with
its files. Each state has a version, and `save` succeeds only on the version that was loaded, so that no turn is lost.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from app.errors import Overloaded


@dataclass(frozen=True, slots=True)
class Stored:
    """The state of a session, and the version to save it on."""

    state: bytes
    version: str


class SessionStore(Protocol):
    """Every call with an id begins the session's idle time anew. All raise SessionStoreUnavailable."""

    async def create(self, session_id: str, state: bytes) -> None:
        """Raises Overloaded when there are too many sessions. None is ended before its time."""

    async def load(self, session_id: str) -> Stored | None:
        """None: there is no such session, or no more."""

    async def save(
        self,
        session_id: str,
        state: bytes,
        *,
        version: str,
        files: Mapping[str, bytes] | None = None,
        drop_files: bool = False,
    ) -> bool:
        """Replace the state and add files, after all others are dropped where asked. False: the version is another."""

    async def read_files(self, session_id: str, names: Sequence[str]) -> list[bytes | None]:
        """The files in this order; None for what is not there."""

    async def delete(self, session_id: str) -> None:
        """One that is not there stays so."""

    async def close(self) -> None:
        """Let go of connections and timers."""


def too_many(limit: int, retry_after_s: float) -> Overloaded:
    """The error of `create`."""
    return Overloaded(
        f"There are {limit} search sessions (SESSION_MAX). End one with DELETE, or come back later.",
        retry_after_s=max(1, round(retry_after_s)),
    )


@dataclass(slots=True)
class _Kept:
    state: bytes
    version: str
    ends_at: float
    files: dict[str, bytes] = field(default_factory=dict)


class MemoryStore:
    """Sessions of this process. For one event loop. They end with the process."""

    def __init__(self, idle_s: float, limit: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._idle_s, self._limit, self._now = idle_s, limit, now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """The one that ends first comes first."""
        self._timer: asyncio.TimerHandle | None = None

    async def create(self, session_id: str, state: bytes) -> None:
        self._drop_ended()
        if len(self._kept) >= self._limit:
            raise too_many(self._limit, next(iter(self._kept.values())).ends_at - self._now())
        self._kept[session_id] = _Kept(state, uuid4().hex, self._now() + self._idle_s)
        self._set_timer()

    async def load(self, session_id: str) -> Stored | None:
        kept = self._used(session_id)
        return Stored(kept.state, kept.version) if kept else None

    async def save(
        self,
        session_id: str,
        state: bytes,
        *,
        version: str,
        files: Mapping[str, bytes] | None = None,
        drop_files: bool = False,
    ) -> bool:
        kept = self._used(session_id)
        if kept is None or kept.version != version:
            return False
        kept.state, kept.version = state, uuid4().hex
        if drop_files:
            kept.files.clear()
        kept.files.update(files or {})
        return True

    async def read_files(self, session_id: str, names: Sequence[str]) -> list[bytes | None]:
        kept = self._used(session_id)
        return [kept.files.get(name) if kept else None for name in names]

    async def delete(self, session_id: str) -> None:
        self._kept.pop(session_id, None)

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _used(self, session_id: str) -> _Kept | None:
        self._drop_ended()
        kept = self._kept.get(session_id)
        if kept:
            kept.ends_at = self._now() + self._idle_s
            self._kept.move_to_end(session_id)
        return kept

    def _drop_ended(self) -> None:
        while self._kept and next(iter(self._kept.values())).ends_at <= self._now():
            self._kept.popitem(last=False)

    def _set_timer(self) -> None:
        """Ended sessions leave the memory also when no more requests come."""
        if self._timer is None and self._kept:
            delay_s = next(iter(self._kept.values())).ends_at - self._now()
            self._timer = asyncio.get_running_loop().call_later(max(delay_s, 0.01), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._drop_ended()
        self._set_timer()
