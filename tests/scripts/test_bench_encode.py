"""The comparison of runtimes runs from start to end, on a tiny model."""

import re
from pathlib import Path

import pytest

from tests.support.tiny_models import build_tiny_clip


def test_every_runner_is_measured_and_compared_with_the_plain_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.models import calibration  # with PyTorch, which takes seconds to import
    from app.models.calibration import calibration_texts
    from app.models.openvino import quantization
    from scripts.bench_encode import main

    monkeypatch.setattr(calibration, "MOST_PICTURES", quantization.LEAST_PICTURES)
    monkeypatch.setattr(quantization, "calibration_texts", lambda: calibration_texts()[::9])
    main(model=str(build_tiny_clip(tmp_path / "clip")), batch=3, rounds=2, seconds=0.02, threads=1)
    printed = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if re.match(r"\| \w", line)]
    names = [row[0].strip() for row in rows]
    assert names[0] == "transformers, PyTorch fp32"
    assert {"ours, OpenVINO fp32", "ours, OpenVINO int8"} <= set(names)
    assert rows[0][2].strip() == "1.00"
    assert all(float(row[1]) > 0 and float(row[6]) > (0.9 if "int8" in row[0] else 0.99) for row in rows)
    assert " cores" in printed.splitlines()[0]
