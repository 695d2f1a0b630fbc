"""One index run per bucket: a lock object that its holder rewrites while it lives, and deletes at the end.

No clock is compared with another machine's. Who finds a lock watches it: if its content changes, the holder lives; if
it stays the same for `ttl_s`, the holder is dead and the lock is taken over.

The lock only saves double work. If two runs still overlap (a holder that was stopped for a while), the pointer's
compare-and-swap keeps the results of both.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType

import orjson

from app.catalog.layout import LOCK_KEY
from app.catalog.pointer import new_token
from app.errors import AppError, IndexBusy, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from app.types import from_fields

log = logging.getLogger(__name__)

RENEW_S = 5.0
"""The holder rewrites the lock this often, or six times in a shorter `ttl_s`: a watcher soon sees that it lives."""

WATCH_S = 0.5
"""Pause between two looks at the lock of another run."""


@dataclass(frozen=True)
class _Claim:
    holder: str
    token: str
    """New in each claim, so that each one has another content."""


class IndexLock:
    """Context manager that holds the bucket's index lock. Raises IndexBusy on entry, naming the holder."""

    def __init__(self, store: ObjectStore, ttl_s: float, wait: Callable[[float], bool] | None = None) -> None:
        """`wait` waits some seconds and returns True if the watching shall end: then the lock counts as held."""
        self._store = store
        self._ttl_s = ttl_s
        self._renew_s = min(RENEW_S, ttl_s / 6)
        self._wait = wait or threading.Event().wait
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._etag = ""
        self._tokens: set[str] = set()
        """Of every claim that this run tried to write. If the lock in the bucket has one of them, it is ours."""
        self._released = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> "IndexLock":
        found = self._find()
        if found is not None:
            found = self._watch(*found)
        try:
            self._claim(found[1] if found else None)
        except PreconditionFailed as error:
            winner = self._find()
            raise (
                _busy(winner[0]) if winner else IndexBusy("Another index run has just started. Try again.")
            ) from error
        self._released.clear()
        self._renewer = threading.Thread(target=self._keep, name="index-lock", daemon=True)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        if self._renewer:
            self._renewer.join()
        try:
            self._release()
        except AppError as failure:
            log.warning(
                "The index lock could not be released (%s); the next run takes it over after %g s.",
                failure,
                self._ttl_s,
            )

    def _watch(self, claim: _Claim, etag: str) -> tuple[_Claim, str] | None:
        """The lock of a dead run, or None if it was released meanwhile. Raises IndexBusy if its holder lives."""
        log.info("Index run %s has the lock. Watching for up to %g s whether it lives.", claim.holder, self._ttl_s)
        ends_at = time.monotonic() + self._ttl_s
        while time.monotonic() < ends_at:
            if self._wait(min(WATCH_S, self._renew_s)):
                raise _busy(claim)
            found = self._find()
            if found is None:
                return None
            if found[1] != etag:
                raise _busy(found[0])
        log.warning("Index run %s has not renewed the lock for %g s, so it is taken over.", claim.holder, self._ttl_s)
        return claim, etag

    def _release(self) -> None:
        """Delete the lock if it is still ours."""
        found = self._find()
        if found and found[0].token in self._tokens:
            self._store.delete(LOCK_KEY)
        else:
            log.warning("The index lock was taken over by another run, so it is not released.")

    def _keep(self) -> None:
        while not self._released.wait(self._renew_s):
            try:
                self._renew()
            except PreconditionFailed:
                log.warning("The index lock was taken over by another run; this one goes on, its result is kept too.")
                return
            except StorageUnavailable as error:
                log.warning("The index lock could not be renewed yet: %s", error)

    def _renew(self) -> None:
        """Raises PreconditionFailed, StorageUnavailable."""
        try:
            self._claim(self._etag)
        except PreconditionFailed:
            if self._find() is not None:
                raise
            self._claim(None)  # Another run took the lock over, and has ended since.

    def _claim(self, etag: str | None) -> None:
        """Write our claim in place of the lock with `etag` (None: of no lock). Raises PreconditionFailed."""
        claim = _Claim(self._holder, new_token())
        self._tokens.add(claim.token)
        try:
            self._etag = self._put(claim, etag)
        except (PreconditionFailed, StorageUnavailable) as error:
            found = self._find()
            if not found or found[0].token not in self._tokens:
                raise
            self._etag = found[1]
            if found[0].token != claim.token:  # an earlier claim of ours, whose reply was lost
                if isinstance(error, StorageUnavailable):
                    raise
                self._claim(self._etag)

    def _put(self, claim: _Claim, etag: str | None) -> str:
        body = orjson.dumps(asdict(claim))
        if etag is None:
            return self._store.put(LOCK_KEY, body, content_type="application/json", if_none_match=True)
        return self._store.put(LOCK_KEY, body, content_type="application/json", if_match=etag)

    def _find(self) -> tuple[_Claim, str] | None:
        """The claim and its etag. A lock that can't be read is watched like any other."""
        try:
            stored = self._store.get(LOCK_KEY)
        except ObjectNotFound:
            return None
        try:
            claim = from_fields(_Claim, orjson.loads(stored.data))
        except (TypeError, ValueError, AttributeError):
            return _Claim("with an unreadable lock", ""), stored.etag
        return _Claim(str(claim.holder), str(claim.token)), stored.etag


def _busy(claim: _Claim) -> IndexBusy:
    return IndexBusy(
        f"Another index run ({claim.holder}) holds the bucket's lock and is at work. Wait for it to end; the lock of a "
        f"dead run is taken over by itself."
    )
