"""What a run did: counted for the report that programs read, and as sentences for people."""

from collections import Counter

from app.catalog.snapshot import Snapshot
from app.indexing.messages import Report, Unindexed
from app.types import ImageRecord, row_id
from indexer.plan import Plan
from indexer.results import Results

MAX_NAMED = 20
"""Skipped pictures that the summary names, and likewise failed ones; the JSON report names them all."""


def make_report(
    plan: Plan,
    results: Results,
    before: Snapshot | None,
    removed: list[ImageRecord],
    *,
    generation: str | None,
    took_s: float,
) -> Report:
    """Count what was done against the state that the run began with."""
    done = [*results.records, *(record for record, _ in results.copies)]
    known = before.records if before else {}
    earlier = {item.image_id: item.etag for record in done if (item := known.get(row_id(record.image_id)))}
    added = [record for record in done if record.image_id not in earlier]
    changed = sum(earlier.get(record.image_id, record.etag) != record.etag for record in done)
    skipped = sorted((*plan.too_large, *plan.still_broken, *results.skipped), key=lambda skip: skip.object_key)
    failed = sorted(results.failed, key=lambda failure: failure.key)
    reached = len(done) + len(results.skipped) + len(results.failed) + len(results.vanished)
    return Report(
        seen=plan.seen,
        added=len(added),
        changed=changed,
        removed=len(removed),
        unchanged=plan.unchanged + len(done) - len(added) - changed,
        moved=_moved(added, plan.gone),
        embedded=results.embedded,
        reused=len(done) - results.embedded,
        skipped=tuple(Unindexed(skip.object_key, skip.reason) for skip in skipped),
        failed=tuple(Unindexed(failure.key, failure.reason) for failure in failed),
        vanished=len(results.vanished),
        left=len(plan.to_read) - reached,
        images_per_s=round(len(done) / results.took_s, 2) if done else 0.0,
        took_s=round(took_s, 3),
        generation=generation,
        interrupted=results.interrupted,
    )


def summary(report: Report) -> str:
    """Lines for a person."""
    head = "Interrupted; the next run goes on. " if report.interrupted else ""
    moved = f" ({report.moved:,} moved)" if report.moved else ""
    rate = f" at {report.images_per_s:,.1f} pictures/s" if report.embedded else ""
    lines = [
        f"{head}{report.seen:,} pictures: {report.added:,} added{moved}, {report.changed:,} changed, "
        f"{report.removed:,} removed, {report.unchanged:,} unchanged, {len(report.skipped):,} skipped, "
        f"{len(report.failed):,} failed; {report.embedded:,} embedded{rate}; {report.took_s:,.1f} s."
    ]
    return "\n".join([*lines, *_named("skipped", report.skipped), *_named("failed", report.failed)])


def _named(word: str, pictures: tuple[Unindexed, ...]) -> list[str]:
    lines = [f"  {word} {picture.key}: {picture.reason}" for picture in pictures[:MAX_NAMED]]
    if len(pictures) > MAX_NAMED:
        lines.append(f"  and {len(pictures) - MAX_NAMED:,} more {word}; --report FILE names them all.")
    return lines


def _moved(added: list[ImageRecord], gone: tuple[ImageRecord, ...]) -> int:
    return (Counter(record.content_hash for record in added) & Counter(record.content_hash for record in gone)).total()
