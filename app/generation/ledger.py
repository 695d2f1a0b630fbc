"""The jobs in the bucket, where every replica of the service finds them, also after a restart.

```
_generated/<id>.json              the job: its request when it is accepted, its outcome when it is over
_generated/<id>-<number>.png      its results; `<id>-first.png`: the picture that the drawing begins from
_generated/queue/<id>-<caller>    stands there until the job is over; empty: it waits; else the claim of who runs it
```

Ids begin with the time, so that keys are sorted by age. The job is written before its place in the queue, and its
outcome before the place is removed: a crash in between leaves nothing that is not seen by the next one who looks. Both
the job and the claim are replaced by compare-and-swap, so a job has one outcome, and is run by one replica at a time.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Final

import orjson

from app.catalog.layout import GENERATED_PREFIX
from app.errors import Conflict, ImageNotFound, JobNotFound, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.generation.jobs import Generation, Phase, PictureRequest, Progress, Result, State
from app.models.generator.base import Parameters
from app.storage.base import KEYS_ONLY, ObjectInfo, ObjectStore
from app.types import from_fields

log = logging.getLogger(__name__)

QUEUE_PREFIX: Final = GENERATED_PREFIX + "queue/"

TIME_DIGITS: Final = 12
"""Hex digits of an id that are its time: milliseconds since the epoch."""

ID_DIGITS: Final = 32

ATTEMPTS: Final = 8
"""Tries of changing a job while others change it too."""

MAX_EXPIRED: Final = 1000
"""Objects that one look for old results removes."""

_ID: Final = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in the queue."""

    id: str
    caller: str
    etag: str
    """Changes with each sign of life of the replica that runs it."""
    is_claimed: bool

    @property
    def key(self) -> str:
        return f"{QUEUE_PREFIX}{self.id}-{self.caller}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs a job, and how far it is."""

    owner: str
    token: str
    """New in each write, so that each one has another content."""
    attempt: int
    """How many replicas have begun it, this one included."""
    job: dict[str, Any]
    """As `_as_fields`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job that this replica runs."""

    generation: Generation
    entry: Entry
    """With the etag of our own claim."""
    attempt: int


class Lost(Exception):
    """The claim is gone: the job was cancelled, or another replica has taken it over."""


class Ledger:
    """Reads and writes jobs. Synchronous and thread-safe; everything raises StorageUnavailable."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._owner = secrets.token_hex(8)

    def add(self, generation: Generation, first: bytes | None) -> Entry:
        """Accept a job. It is not forgotten from now on."""
        if first is not None:
            self._store.put(_first_key(generation.id), first, content_type="image/png")
        self._store.put(_job_key(generation.id), _to_json(generation), content_type=_JSON)
        entry = Entry(generation.id, generation.caller, "", is_claimed=False)
        return replace(entry, etag=self._store.put(entry.key, b"", content_type=_JSON))

    def entries(self) -> list[Entry]:
        """The queue, the oldest job first."""
        found = self._store.list(QUEUE_PREFIX)
        return [entry for info in found if (entry := _entry_of(info)) is not None]

    def find(self, generation_id: str) -> Generation:
        """The job as it is now, with its progress where a replica runs it. Raises JobNotFound."""
        generation, _ = self._read(generation_id)
        if generation.is_over:
            return generation
        claim = self._claim_of(f"{QUEUE_PREFIX}{generation.id}-{generation.caller}")
        return _of_fields(claim.job) if claim else generation

    def claim(self, entry: Entry) -> Held | None:
        """Take a job that waits, or that its replica has left. None where another replica was faster, or it is over."""
        attempt = 1
        if entry.is_claimed and (last := self._claim_of(entry.key)):
            attempt = last.attempt + 1
        generation: Generation | None
        try:
            generation, _ = self._read(entry.id)
        except JobNotFound:
            generation = None  # deleted by hand, or damaged
        if generation is None or generation.is_over:
            self._store.delete(entry.key)
            return None
        held = Held(replace(generation, state=State.RUNNING, progress=Progress()), entry, attempt)
        with suppress(Lost):
            return self.renew(held)
        return None

    def renew(self, held: Held) -> Held:
        """Say that we still run the job, and how far it is. Raises Lost."""
        claim = Claim(self._owner, secrets.token_hex(8), held.attempt, _as_fields(held.generation))
        return replace(held, entry=self._put(held.entry, orjson.dumps(claim), claim.token))

    def release(self, held: Held) -> None:
        """Put a job back into the queue, without counting this attempt. Raises Lost."""
        self._put(held.entry, b"", "")

    def change(self, generation_id: str, change: Callable[[Generation], Generation]) -> Generation:
        """Replace a job by what `change` makes of it, which may be called several times. Returns the job as it is then.

        Raises JobNotFound, Conflict.
        """
        for _ in range(ATTEMPTS):
            before, etag = self._read(generation_id)
            after = change(before)
            if after == before:
                return before
            with suppress(PreconditionFailed):
                self._store.put(_job_key(generation_id), _to_json(after), content_type=_JSON, if_match=etag)
                return after
        raise Conflict("Others keep changing the same job. Try again in a moment.")

    def end(self, outcome: Generation) -> Generation:
        """Give a job its outcome, unless it has one. Returns the one that it has. Raises JobNotFound, Conflict."""
        ended = self.change(outcome.id, lambda now: now if now.is_over else outcome)
        self._store.delete(f"{QUEUE_PREFIX}{ended.id}-{ended.caller}")
        self._store.delete(_first_key(ended.id))
        return ended

    def first(self, generation_id: str) -> bytes:
        """The picture that the drawing begins from. Raises ObjectNotFound."""
        return self._store.get(_first_key(generation_id)).data

    def put_picture(self, generation_id: str, number: int, png: bytes) -> None:
        self._store.put(_picture_key(generation_id, number), png, content_type="image/png")

    def picture(self, generation_id: str, number: int) -> ObjectInfo:
        """Raises ImageNotFound."""
        try:
            return self._store.head(_picture_key(generation_id, number))
        except ObjectNotFound as error:
            raise ImageNotFound(
                f"The generation {generation_id} has no picture {number}: not yet, or not any more."
            ) from error

    def png(self, generation_id: str, number: int) -> bytes:
        """The whole file of a result. Raises ObjectNotFound."""
        return self._store.get(_picture_key(generation_id, number)).data

    def read(self, key: str, start: int, length: int) -> bytes:
        """A part of an object. Raises ObjectNotFound."""
        return self._store.get_range(key, start, length)

    def expire(self, before: float) -> int:
        """Remove what belongs to jobs that were accepted before that time and are over. Returns how many objects."""
        kept = {entry.id for entry in self.entries()}
        old = (key for key in self._keys_by_age(before) if _id_of(key) not in kept)
        removed = 0
        for key in islice(old, MAX_EXPIRED):
            self._store.delete(key)
            removed += 1
        return removed

    def _keys_by_age(self, before: float) -> Iterator[str]:
        for info in self._store.list(GENERATED_PREFIX, selection=KEYS_ONLY):
            generation_id = _id_of(info.key)
            if generation_id is None or created_at(generation_id) >= before:
                return
            yield info.key

    def _read(self, generation_id: str) -> tuple[Generation, str]:
        missing = JobNotFound(f"No generation has the id {generation_id!r}. Results are kept for GENERATION_KEEP_DAYS.")
        if not _ID.fullmatch(generation_id):
            raise missing
        try:
            stored = self._store.get(_job_key(generation_id))
            return _of_fields(orjson.loads(stored.data)), stored.etag
        except ObjectNotFound as error:
            raise missing from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("The job %s can't be read: %r", generation_id, error)
            raise missing from error

    def _claim_of(self, key: str) -> Claim | None:
        """None where no replica runs the job."""
        with suppress(ObjectNotFound, ValueError, TypeError, AttributeError):
            data = self._store.get(key).data
            return from_fields(Claim, orjson.loads(data)) if data else None
        return None

    def _put(self, entry: Entry, body: bytes, token: str) -> Entry:
        """Replace our place in the queue. A write whose reply was lost is read back. Raises Lost."""
        try:
            etag = self._store.put(entry.key, body, content_type=_JSON, if_match=entry.etag)
        except (PreconditionFailed, StorageUnavailable) as error:
            etag = self._etag_of(entry.key, token) or ""
            if not etag and isinstance(error, PreconditionFailed):
                raise Lost from error
            if not etag:
                raise
        return replace(entry, etag=etag, is_claimed=bool(body))

    def _etag_of(self, key: str, token: str) -> str | None:
        """The etag of the place if it has the claim with this token."""
        try:
            stored = self._store.get(key)
        except ObjectNotFound:
            return None
        held = orjson.loads(stored.data).get("token") if stored.data else ""
        return stored.etag if held == token else None


def new_id() -> str:
    """32 hex digits, of which the last 20 can't be guessed. Ids are sorted by their time."""
    chance = secrets.token_hex((ID_DIGITS - TIME_DIGITS) // 2)
    return f"{int(time.time() * 1000):0{TIME_DIGITS}x}{chance}"


def created_at(generation_id: str) -> float:
    """When an id was made, seconds since the epoch."""
    return int(generation_id[:TIME_DIGITS], 16) / 1000


def _id_of(key: str) -> str | None:
    """The job that an object belongs to; None for one of the queue, or of another kind."""
    found = _ID.match(key, len(GENERATED_PREFIX))
    return found[0] if found else None


def _entry_of(info: ObjectInfo) -> Entry | None:
    generation_id, _, caller = info.key.removeprefix(QUEUE_PREFIX).partition("-")
    if not _ID.fullmatch(generation_id):
        return None
    return Entry(generation_id, caller, info.etag, is_claimed=info.size_bytes > 0)


def _job_key(generation_id: str) -> str:
    return f"{GENERATED_PREFIX}{generation_id}.json"


def _picture_key(generation_id: str, number: int) -> str:
    return f"{GENERATED_PREFIX}{generation_id}-{number}.png"


def _first_key(generation_id: str) -> str:
    return f"{GENERATED_PREFIX}{generation_id}-first.png"


def _as_fields(generation: Generation) -> dict[str, Any]:
    return asdict(generation)


def _to_json(generation: Generation) -> bytes:
    """Without what changes while it runs: the claim has that."""
    return orjson.dumps(_as_fields(replace(generation, progress=None)))


def _of_fields(fields: dict[str, Any]) -> Generation:
    """Fields that this version does not know are passed over."""
    parameters, progress = fields.get("parameters"), fields.get("progress")
    generation = from_fields(Generation, fields)
    return replace(
        generation,
        state=State(generation.state),
        request=from_fields(PictureRequest, fields["request"]),
        parameters=from_fields(Parameters, parameters) if parameters else None,
        results=tuple(from_fields(Result, result) for result in fields.get("results", ())),
        progress=_progress(progress) if progress else None,
    )


def _progress(fields: dict[str, Any]) -> Progress:
    progress = from_fields(Progress, fields)
    return replace(progress, phase=Phase(progress.phase))
