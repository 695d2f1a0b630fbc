"""The benchmark of searches for words runs to its end."""

import pytest

from scripts.bench_words import QUERIES, main


def test_it_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("scripts.bench_words.CHANGED", 50)
    monkeypatch.setattr("sys.argv", ["bench_words", "--count", "300", "--fts5"])
    main()
    printed = capsys.readouterr().out
    for line in ("300 pictures: built in", "bytes a picture", *QUERIES, "first search after 50 changes", "FTS5: built"):
        assert line in printed
