"""The benchmark of lists runs to its end."""

import pytest

from scripts.bench_lists import main


def test_it_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench_lists", "--count", "300", "--dimension", "4"])
    main()
    printed = capsys.readouterr().out
    for line in ("300 pictures", "columns after a publication", "page in the middle by date", "export as parquet"):
        assert line in printed
