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


def test_one_picture_is_not_called_pictures() -> None:
    assert summary(replace(REPORT, seen=1)).startswith("1 picture: ")


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


def test_names_can_not_forge_lines_or_steer_the_terminal() -> None:
    report = replace(REPORT, skipped=(Unindexed("a\n  failed b.jpg\x1b[2J\x9b\u202e.jpg", "broken \x07"),))
    assert summary(report).splitlines()[1:] == [r"  skipped a\n  failed b.jpg\x1b[2J\x9b\u202e.jpg: broken \x07"]
    assert report.to_json().decode().rstrip("\n").isprintable()
    assert report.as_dict()["skipped"][0]["key"] == report.skipped[0].key


def test_what_is_no_picture_is_counted_by_kind() -> None:
    report = replace(REPORT, passed_over={"video": 12, "PDF": 3, ".bin": 1, "text": 2, "unknown": 1})
    assert "  12 videos, 3 PDFs, 1 .bin file, 2 text files, 1 unknown file passed over" in summary(report).splitlines()


def test_a_run_that_finds_no_picture_says_why() -> None:
    nothing = replace(REPORT, seen=0)
    assert "Warning: there is nothing to index" in summary(nothing)
    assert "Warning: none of the 1,203 objects is a picture" in summary(
        replace(nothing, passed_over={"video": 1200, "PDF": 3})
    )
    assert "Warning" not in summary(replace(nothing, interrupted=True))
    assert "Warning" not in summary(REPORT)


def test_damaged_pictures_that_are_indexed_are_named() -> None:
    report = replace(REPORT, damaged=(Unindexed("a.jpg", "The file is damaged: all of the picture can be seen."),))
    assert summary(report).splitlines()[-1] == "  damaged a.jpg: The file is damaged: all of the picture can be seen."
