"""The summary that people read; the numbers are checked where runs make them."""

from dataclasses import replace

from app.indexing.messages import Report, Unindexed
from indexer.report import MAX_NAMED, summary

REPORT = Report(
    seen=1234,
    added=10,
    changed=2,
    removed=3,
    unchanged=1200,
    moved=0,
    embedded=12,
    reused=0,
    skipped=(),
    failed=(),
    vanished=0,
    left=0,
    images_per_s=34.56,
    took_s=2.5,
    generation="00000001-0",
    interrupted=False,
)


def test_one_line_for_a_run_without_losses() -> None:
    assert summary(REPORT) == (
        "1,234 pictures: 10 added, 2 changed, 3 removed, 1,200 unchanged, 0 skipped, 0 failed; "
        "12 embedded at 34.6 pictures/s; 2.5 s."
    )


def test_moves_and_interruptions_are_said() -> None:
    text = summary(replace(REPORT, moved=4, interrupted=True))
    assert text.startswith("Interrupted; the next run goes on. ")
    assert "10 added (4 moved)" in text


def test_skipped_and_failed_pictures_are_named_up_to_a_point() -> None:
    pictures = tuple(Unindexed(f"{n}.jpg", "broken") for n in range(MAX_NAMED + 5))
    lines = summary(replace(REPORT, skipped=pictures, failed=(Unindexed("x.jpg", "no answer"),))).splitlines()
    assert lines[1] == "  skipped 0.jpg: broken"
    assert lines[MAX_NAMED + 1] == "  and 5 more skipped; --report FILE names them all."
    assert lines[-1] == "  failed x.jpg: no answer"
