"""What a run did, as numbers for programs and as sentences for people.

Every listed picture is in one place: seen = added + changed + unchanged + skipped + failed + vanished + left.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.catalog.changes import Snapshot
from app.types import ImageRecord, row_id
from indexer.plan import Diff
from indexer.results import Harvest

NAMED = 20
"""Skipped pictures that the summary names; the JSON report names them all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A picture that is not in the index as it is in the bucket, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """The JSON report, field by field."""

    seen: int
    """Pictures in the listing."""
    added: int
    changed: int
    removed: int
    """Rows dropped: of objects that are gone, or in whose place something unreadable lies now."""
    unchanged: int
    """Same etag as indexed; embedded again all the same by a rebuild."""
    moved: int
    """Of the added: the same bytes as a removed picture."""
    embedded: int
    """Pictures that went through the model."""
    reused: int
    """Pictures whose bytes were known, so that they took a vector that was there."""
    skipped: tuple[Problem, ...]
    """Pictures that can't be read, tried again when they change."""
    failed: tuple[Problem, ...]
    """Pictures that the storage did not hand out or the model could not embed, tried again by the next run."""
    vanished: int
    """Objects that were listed and gone before they were read."""
    left: int
    """Not reached by an interrupted run; the next one goes on with them."""
    images_per_s: float
    """Pictures read and embedded or reused, by the second of reading and embedding."""
    took_s: float
    generation: str | None
    """Published when the run ended; None while nothing was ever published."""
    interrupted: bool

    def to_json(self, *, indent: bool = False) -> bytes:
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0))

    def write(self, path: Path) -> None:
        path.write_bytes(self.to_json(indent=True))

    def as_dict(self) -> dict[str, Any]:
        fields: dict[str, Any] = orjson.loads(self.to_json())
        return fields

    def summary(self) -> str:
        """Lines for a person."""
        head = "Interrupted; the next run goes on. " if self.interrupted else ""
        moved = f" ({self.moved:,} moved)" if self.moved else ""
        rate = f" at {self.images_per_s:,.1f} pictures/s" if self.embedded else ""
        lines = [
            f"{head}{self.seen:,} pictures: {self.added:,} added{moved}, {self.changed:,} changed, "
            f"{self.removed:,} removed, {self.unchanged:,} unchanged, {len(self.skipped):,} skipped, "
            f"{len(self.failed):,} failed; {self.embedded:,} embedded{rate}; {self.took_s:,.1f} s."
        ]
        for word, problems in (("skipped", self.skipped), ("failed", self.failed)):
            lines += [f"  {word} {problem.key}: {problem.reason}" for problem in problems[:NAMED]]
            if len(problems) > NAMED:
                lines.append(f"  and {len(problems) - NAMED:,} more {word}; --report FILE names them all.")
        return "\n".join(lines)


def make_report(
    diff: Diff,
    harvest: Harvest,
    before: Snapshot | None,
    removed: list[ImageRecord],
    *,
    generation: str | None,
    took_s: float,
) -> Report:
    """Count what was done against the state that the run began with."""
    done = [*harvest.records, *(record for record, _ in harvest.copies)]
    known = before.records if before else {}
    earlier = {item.image_id: item.etag for record in done if (item := known.get(row_id(record.image_id)))}
    added = [record for record in done if record.image_id not in earlier]
    changed = sum(earlier.get(record.image_id, record.etag) != record.etag for record in done)
    skipped = sorted((*diff.too_large, *diff.still_broken, *harvest.skipped), key=lambda skip: skip.object_key)
    failed = sorted(harvest.failed, key=lambda failure: failure.key)
    reached = len(done) + len(harvest.skipped) + len(harvest.failed) + len(harvest.vanished)
    return Report(
        seen=diff.seen,
        added=len(added),
        changed=changed,
        removed=len(removed),
        unchanged=diff.unchanged + len(done) - len(added) - changed,
        moved=_moved(added, diff.gone),
        embedded=harvest.embedded,
        reused=len(done) - harvest.embedded,
        skipped=tuple(Problem(skip.object_key, skip.reason) for skip in skipped),
        failed=tuple(Problem(failure.key, failure.reason) for failure in failed),
        vanished=len(harvest.vanished),
        left=len(diff.to_read) - reached,
        images_per_s=round(len(done) / harvest.took_s, 2) if done else 0.0,
        took_s=round(took_s, 3),
        generation=generation,
        interrupted=harvest.interrupted,
    )


def _moved(added: list[ImageRecord], gone: tuple[ImageRecord, ...]) -> int:
    return (Counter(record.content_hash for record in added) & Counter(record.content_hash for record in gone)).total()
