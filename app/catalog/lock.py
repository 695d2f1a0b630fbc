"""One index run per bucket: a lock object with an expiry, renewed while its holder lives.

The lock only saves double work. If two runs still overlap (clocks that disagree, a holder that slept), the
pointer's compare-and-swap still keeps the results of both.
"""

import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import TracebackType

import orjson

from app.catalog.layout import LOCK_KEY
from app.catalog.pointer import new_token
from app.errors import AppError, IndexBusy, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from app.types import from_fields

log = logging.getLogger(__name__)

_LAST_SECOND = datetime.max.replace(tzinfo=UTC).timestamp() - 1


@dataclass(frozen=True)
class _Claim:
    holder: str
    token: str
    expires_at: float
    """Seconds since the epoch, UTC."""


class IndexLock:
    """Context manager that holds the bucket's index lock. Raises IndexBusy on entry, naming the holder."""

    def __init__(self, store: ObjectStore, ttl_s: float) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._etag = ""
        self._tokens: set[str] = set()
        """Of every claim that this run tried to write. If the lock in the bucket has one of them, it is ours."""
        self._released = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> "IndexLock":
        found = self._find()
        if found and found[0].expires_at > time.time():
            raise _busy(found[0])
        try:
            self._claim(self._ttl_s, found[1] if found else None)
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
            self._claim(0.0, self._etag)
        except AppError as failure:
            log.warning("The index lock could not be released and expires by itself: %s", failure)

    def _keep(self) -> None:
        while not self._released.wait(self._ttl_s / 3):
            try:
                self._claim(self._ttl_s, self._etag)
            except PreconditionFailed:
                log.warning("The index lock was taken over by another run; this one goes on, its result is kept too.")
                return
            except StorageUnavailable as error:
                log.warning("The index lock could not be renewed yet: %s", error)

    def _claim(self, ttl_s: float, etag: str | None) -> None:
        """Write our claim in place of the lock with `etag` (None: of no lock). Raises PreconditionFailed."""
        claim = _Claim(self._holder, new_token(), time.time() + ttl_s)
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
                self._claim(ttl_s, self._etag)

    def _put(self, claim: _Claim, etag: str | None) -> str:
        body = orjson.dumps(asdict(claim))
        if etag is None:
            return self._store.put(LOCK_KEY, body, content_type="application/json", if_none_match=True)
        return self._store.put(LOCK_KEY, body, content_type="application/json", if_match=etag)

    def _find(self) -> tuple[_Claim, str] | None:
        """The claim and its etag. A lock that can't be read counts as expired."""
        try:
            stored = self._store.get(LOCK_KEY)
        except ObjectNotFound:
            return None
        try:
            claim = from_fields(_Claim, orjson.loads(stored.data))
            return replace(claim, expires_at=min(float(claim.expires_at), _LAST_SECOND)), stored.etag
        except (TypeError, ValueError, AttributeError):
            return _Claim("an unreadable lock", "", 0.0), stored.etag


def _busy(claim: _Claim) -> IndexBusy:
    until = datetime.fromtimestamp(claim.expires_at, UTC).isoformat(timespec="seconds")
    return IndexBusy(
        f"Another index run ({claim.holder}) holds the bucket's lock until {until} unless it renews it. "
        f"Wait for it to end; the lock of a dead run expires by itself."
    )
