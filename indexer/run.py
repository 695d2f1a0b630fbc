"""One index run: lock, load, plan, read and embed, publish once, fold, examine the ranking, report.

The plan compares the listing with the state that was loaded before it. What others publish later is neither in the
plan nor undone by it.
"""

import time
from collections import ChainMap
from collections.abc import Mapping
from contextlib import suppress

from app.bootstrap import Parts
from app.catalog.layout import POINTER_KEY
from app.catalog.lock import IndexLock
from app.catalog.snapshot import Snapshot
from app.errors import NO_CAPTIONER, NotConfigured, ObjectNotFound
from app.indexing.messages import Report
from app.storage.base import ObjectStore
from app.types import ImageRecord
from indexer.captioning import CaptionFiller
from indexer.consent import Consent, check_model_fits, no_questions
from indexer.executor import MakeExecutor
from indexer.hubs import examine_hubs
from indexer.local_executor import LocalExecutor
from indexer.plan import Baseline, Options, Plan, Run, load_baseline, make_plan, may_hold_news
from indexer.progress import Progress, UnbrokenProgress
from indexer.publication import Publisher
from indexer.report import make_report
from indexer.results import RecordsByContent, ResultCollector, Results
from indexer.signals import NeverStop, Stop


def run_index(
    parts: Parts,
    options: Options,
    progress: Progress,
    stop: Stop | None = None,
    make_executor: MakeExecutor = LocalExecutor,
    *,
    consent: Consent = no_questions,
) -> Report:
    """Make the index true to the bucket. When `stop` turns true, the pictures done by then are published.

    They are also published when the run fails in the middle. `consent` may ask a person first. Raises IndexBusy,
    IndexCorrupt, IndexMismatch, ModelUnavailable, NotConfigured, ShrinkRefused, StorageUnavailable,
    VectorStoreUnavailable, and AppError when nothing could be published at all or the person declines.
    """
    if options.captions and parts.captioner is None:
        raise NotConfigured(NO_CAPTIONER)
    run = Run(parts, options, UnbrokenProgress(progress), stop or NeverStop())
    try:
        with IndexLock(parts.index_store, parts.settings.index.lock_ttl_s, run.stop.wait):
            return _run_locked(run, make_executor, consent)
    finally:
        run.progress.close()


def _run_locked(run: Run, make_executor: MakeExecutor, consent: Consent) -> Report:
    started_at = time.monotonic()
    baseline = load_baseline(run)
    plan = make_plan(run, baseline)
    check_model_fits(run, plan, baseline, consent)
    publisher = Publisher(run, baseline)
    results = _read_and_embed(run, baseline, plan, publisher, make_executor)
    removed = publisher.removals(plan, results)
    after = publisher.publish(plan, results, removed)
    if run.options.captions and not results.interrupted:
        after = _fill_captions(run, after, publisher, results, make_executor)
    after = publisher.fold(after)
    after = examine_hubs(run, baseline.snapshot, after, captioned=results.captioned)
    return make_report(
        plan,
        results,
        baseline.snapshot,
        removed,
        generation=after.pointer.generation,
        took_s=time.monotonic() - started_at,
    )


def _read_and_embed(
    run: Run, baseline: Baseline, plan: Plan, publisher: Publisher, make_executor: MakeExecutor
) -> Results:
    """Execute the plan. If that fails, what was embedded is published."""
    if not plan.to_read:
        return Results(interrupted=plan.interrupted)
    indexed, reusable = _known_contents(run, baseline)
    collector = ResultCollector(
        indexed,
        baseline.records,
        plan.gone,
        progress=run.progress,
        check_storage=lambda: _check_storage(run.parts.store),
    )
    executor = make_executor(run.parts, reusable, collector)
    needs_model = run.options.details or may_hold_news(plan, baseline.records.values() if reusable else ())
    executor.prepare(plan.to_read, run.progress, needs_model=needs_model)
    run.progress.phase("indexing", len(plan.to_read))
    began_at = time.monotonic()
    with publisher.keeping(collector.results):
        executor.run(plan.to_read, run.stop)
    collector.results.took_s = time.monotonic() - began_at
    return collector.results


def _fill_captions(
    run: Run, snapshot: Snapshot, publisher: Publisher, results: Results, make_executor: MakeExecutor
) -> Snapshot:
    """Describe what has no caption; what was described is counted in `results`. Returns the published state."""
    collector = ResultCollector({}, {}, progress=run.progress, check_storage=lambda: _check_storage(run.parts.store))
    filler = CaptionFiller(run, snapshot, publisher, collector)
    if filler.missing:
        filler.fill(make_executor(run.parts, {}, collector))
    results.captioned += collector.results.captioned
    results.caption_failed += collector.results.caption_failed
    results.interrupted |= collector.results.interrupted
    return filler.snapshot


def _known_contents(run: Run, baseline: Baseline) -> tuple[Mapping[str, ImageRecord], Mapping[str, ImageRecord]]:
    """Indexed pictures by content hash: all of them, and those whose vector this run may take."""
    missing = baseline.drift.missing
    with_vector = RecordsByContent(baseline.records, missing)
    known: Mapping[str, ImageRecord] = with_vector
    if missing:
        known = ChainMap(with_vector, RecordsByContent(baseline.records))  # type: ignore[arg-type]  # only read
    return known, {} if run.options.rebuild else with_vector


def _check_storage(store: ObjectStore) -> None:
    """One small read. Raises StorageUnavailable."""
    with suppress(ObjectNotFound):
        store.get(POINTER_KEY)
