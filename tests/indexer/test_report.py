"""The summary that people read; the numbers are checked where runs make them."""

from dataclasses import replace

from indexer.report import NAMED, Problem, Report

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


def test_one_line_for_a_run_without_problems() -> None:
    assert REPORT.summary() == (
        "1,234 pictures: 10 added, 2 changed, 3 removed, 1,200 unchanged, 0 skipped, 0 failed; "
        "12 embedded at 34.6 pictures/s; 2.5 s."
    )


def test_moves_and_interruptions_are_said() -> None:
    summary = replace(REPORT, moved=4, interrupted=True).summary()
    assert summary.startswith("Interrupted; the next run goes on. ")
    assert "10 added (4 moved)" in summary


def test_problems_are_named_up_to_a_point() -> None:
    problems = tuple(Problem(f"{n}.jpg", "broken") for n in range(NAMED + 5))
    lines = replace(REPORT, skipped=problems, failed=(Problem("x.jpg", "no answer"),)).summary().splitlines()
    assert lines[1] == "  skipped 0.jpg: broken"
    assert lines[NAMED + 1] == "  and 5 more skipped; --report FILE names them all."
    assert lines[-1] == "  failed x.jpg: no answer"
