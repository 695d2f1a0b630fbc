"""The measurement of duplicates runs from start to end, over a few made-up photographs."""

import re
from pathlib import Path

import pytest

from scripts.bench_duplicates import CHANGES, main, report
from tests.pictures.test_perceptual import photo
from tests.support.pictures import encoded


def test_copies_are_made_and_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_bytes(encoded(photo(number, (160, 120)), "JPEG"))
    main(tmp_path, model="demo", every=8, pictures=300)
    printed = capsys.readouterr().out
    assert f"demo: {8 + len(CHANGES)} pictures" in printed
    assert "precision 1.0000 (0 wrong pairs of " in printed
    assert "| turned left | 100.0% |" in printed
    assert len(re.findall(r"^\| .* \| \d+\.\d% \|$", printed, re.MULTILINE)) == len(CHANGES)
    assert "300 pictures, vectors of 512:" in printed


def test_wrong_pairs_and_missed_ones_are_counted() -> None:
    origin = {"a": ("a", ""), "a1": ("a", "smaller"), "a2": ("a", "turned"), "b": ("b", ""), "b1": ("b", "smaller")}
    printed = report(origin, [["a", "a1", "b"], ["b1"]])
    assert (
        "precision 0.3333 (2 wrong pairs of 3), recall of pairs 0.2500, copies found with their original 0.3333"
        in printed
    )
    assert "| smaller | 50.0% |" in printed
    assert "| turned | 0.0% |" in printed
