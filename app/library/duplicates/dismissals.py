"""Groups that a person has said are no duplicates: one object beside the index, replaced by compare-and-swap.

So all replicas share them, and two that write at the same time lose nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from app.catalog.layout import INDEX_PREFIX
from app.errors import Conflict, DismissalNotFound, IndexCorrupt, InvalidInput, ObjectNotFound, PreconditionFailed
from app.library.duplicates.groups import Group, Kind, group_id
from app.storage.base import ObjectStore
from app.types import from_fields

KEY: Final = f"{INDEX_PREFIX}dismissals.json"

ATTEMPTS: Final = 20
"""Writes after which a change is given up: each time another replica was first."""

MAX_DISMISSALS: Final = 100_000
"""Kept at most; the file is read for each answer."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """One group that is not to be shown."""

    id: str
    """That of the group."""
    kind: Kind
    tokens: tuple[str, ...]
    """As `Group.tokens`, sorted."""
    dismissed_at: float
    """Seconds since the epoch, UTC."""

    @classmethod
    def of(cls, kind: Kind, tokens: frozenset[str]) -> "Dismissal":
        return cls(group_id(kind, tokens), kind, tuple(sorted(tokens)), time.time())

    @property
    def image_ids(self) -> list[str]:
        return [token.partition(":")[0] for token in self.tokens]


class Dismissed:
    """Dismissals to look groups up in."""

    def __init__(self, dismissals: Mapping[str, Dismissal]) -> None:
        self.by_id = dismissals
        self._by_token: dict[str, list[Dismissal]] = {}
        for dismissal in dismissals.values():
            for token in dismissal.tokens:
                self._by_token.setdefault(token, []).append(dismissal)

    def find(self, group: Group) -> Dismissal | None:
        """The dismissal that a group falls under: it has all of its pictures, with the same content.

        A group that has got another picture since is shown again.
        """
        candidates = self._by_token.get(next(iter(group.tokens)), ())
        return next(
            (each for each in candidates if each.kind == group.kind and group.tokens.issubset(each.tokens)), None
        )


class Dismissals:
    """Reads and changes the dismissals. Every method raises StorageUnavailable, and IndexCorrupt for a damaged file."""

    def __init__(self, store: ObjectStore) -> None:
        """`store` has the index."""
        self._store = store

    def read(self) -> Dismissed:
        return Dismissed(self._read()[0])

    def add(self, dismissal: Dismissal) -> Dismissal:
        """The dismissal as it is kept: the first one, where the group was dismissed before. Raises Conflict."""

        def with_it(kept: dict[str, Dismissal]) -> None:
            kept.setdefault(dismissal.id, dismissal)
            if len(kept) > MAX_DISMISSALS:
                raise InvalidInput(f"{MAX_DISMISSALS:,} groups are dismissed, and more are not kept. Undo some first.")

        return self._change(with_it)[dismissal.id]

    def remove(self, dismissal_id: str) -> None:
        """Raises DismissalNotFound, Conflict."""
        was_there = False

        def without_it(kept: dict[str, Dismissal]) -> None:
            nonlocal was_there
            was_there = kept.pop(dismissal_id, None) is not None or was_there
            if not was_there:
                raise DismissalNotFound(f"No group with the id {dismissal_id!r} is dismissed.")

        self._change(without_it)

    def _change(self, change: Callable[[dict[str, Dismissal]], None]) -> dict[str, Dismissal]:
        """Make the change to the newest state. It must be one that can be made again after a reply was lost."""
        for _ in range(ATTEMPTS):
            kept, etag = self._read()
            before = dict(kept)
            change(kept)
            if kept == before:
                return kept
            body = orjson.dumps({"dismissals": [asdict(each) for each in kept.values()]})
            try:
                if etag is None:
                    self._store.put(KEY, body, content_type="application/json", if_none_match=True)
                else:
                    self._store.put(KEY, body, content_type="application/json", if_match=etag)
            except PreconditionFailed:
                continue
            return kept
        raise Conflict("Other changes of the dismissed duplicates were first, again and again. Try once more.")

    def _read(self) -> tuple[dict[str, Dismissal], str | None]:
        """The dismissals by id, and the etag of their file; None where there is none yet."""
        try:
            stored = self._store.get(KEY)
        except ObjectNotFound:
            return {}, None
        try:
            dismissals = [from_fields(Dismissal, fields) for fields in orjson.loads(stored.data)["dismissals"]]
            kept = {
                each.id: Dismissal(each.id, Kind(each.kind), tuple(each.tokens), each.dismissed_at)
                for each in dismissals
            }
        except (ValueError, KeyError, TypeError) as error:
            raise IndexCorrupt(f"{KEY} can't be read ({error}). Restore it, or delete it.") from error
        return kept, stored.etag
