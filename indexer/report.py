"""What a run did: counted for the report that programs read, and as sentences for people."""

from collections import Counter
from collections.abc import Mapping

from app.catalog.snapshot import Snapshot
from app.indexing.messages import Report, Unindexed
from app.ingest.reading import Failure
from app.printable import printable
from app.types import ImageRecord, row_id
from indexer.plan import Plan
from indexer.results import Results

_COUNTABLE = frozenset(("video", "PDF", "SVG", "icon", "archive"))
"""Kinds that need no "file" behind them."""

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
    skips = (*plan.too_large, *plan.still_broken, *results.skipped)
    others = Counter(plan.others) + Counter(skip.kind for skip in skips if skip.kind)
    skipped = [Unindexed(skip.object_key, skip.reason) for skip in skips if not skip.kind]
    failed = [Unindexed(failure.key, failure.reason) for failure in results.failed]
    for each in plan.unlisted:  # a folder's key ends with a slash; the next run tries it again
        (failed if each.key.endswith("/") else skipped).append(Unindexed(each.key, each.reason))
    reached = len(done) + len(results.skipped) + len(results.failed) + len(results.vanished)
    return Report(
        seen=plan.seen - sum(bool(skip.kind) for skip in skips),
        added=len(added),
        changed=changed,
        removed=len(removed),
        unchanged=plan.unchanged + len(done) - len(added) - changed,
        moved=_moved(added, plan.gone),
        embedded=results.embedded,
        reused=len(done) - results.embedded,
        skipped=tuple(sorted(skipped, key=_key_of)),
        failed=tuple(sorted(failed, key=_key_of)),
        captioned=results.captioned,
        caption_failed=tuple(
            Unindexed(each.key, each.reason) for each in sorted(results.caption_failed, key=_failed_key)
        ),
        damaged=tuple(Unindexed(each.key, each.reason) for each in sorted(results.damaged, key=_failed_key)),
        passed_over=dict(others.most_common()),
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
        f"{head}{_number(report.seen, 'picture')}: {report.added:,} added{moved}, {report.changed:,} changed, "
        f"{report.removed:,} removed, {report.unchanged:,} unchanged, {len(report.skipped):,} skipped, "
        f"{len(report.failed):,} failed; {report.embedded:,} embedded{rate}; {report.took_s:,.1f} s."
    ]
    if report.captioned:
        lines.append(f"  {_number(report.captioned, 'picture')} captioned")
    if report.passed_over:
        lines.append(f"  {_counted(report.passed_over)} passed over")
    if not report.seen and not report.interrupted:
        lines.append(_why_nothing(report.passed_over))
    for word, pictures in (
        ("skipped", report.skipped),
        ("failed", report.failed),
        ("without caption", report.caption_failed),
        ("damaged", report.damaged),
    ):
        lines += _named(word, pictures)
    return "\n".join(lines)


def _counted(kinds: Mapping[str, int]) -> str:
    """`12 videos, 3 PDFs`."""
    return ", ".join(_number(count, kind if kind in _COUNTABLE else f"{kind} file") for kind, count in kinds.items())


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _why_nothing(others: Mapping[str, int]) -> str:
    if others:
        return f"Warning: none of the {sum(others.values()):,} objects is a picture that can be read."
    return "Warning: there is nothing to index in the place that STORAGE_URL names. Check that it is the right one."


def _failed_key(failure: Failure) -> str:
    return failure.key


def _key_of(picture: Unindexed) -> str:
    return picture.key


def _named(word: str, pictures: tuple[Unindexed, ...]) -> list[str]:
    lines = [printable(f"  {word} {picture.key}: {picture.reason}") for picture in pictures[:MAX_NAMED]]
    if len(pictures) > MAX_NAMED:
        lines.append(f"  and {len(pictures) - MAX_NAMED:,} more {word}; --report FILE names them all.")
    return lines


def _moved(added: list[ImageRecord], gone: tuple[ImageRecord, ...]) -> int:
    return (Counter(record.content_hash for record in added) & Counter(record.content_hash for record in gone)).total()
