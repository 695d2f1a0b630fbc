"""The comparison of ways from files to an index runs from start to end, on a tiny model."""

import re
from pathlib import Path

import pytest

from app.models.base import ModelInputs
from app.types import Vectors
from tests.support.tiny_models import build_tiny_clip


def test_a_whole_run_is_measured_beside_a_plain_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.models.openvino.towers import OpenVinoTowers
    from scripts.bench_index import main  # imports PyTorch, which takes seconds

    encode_once = OpenVinoTowers.encode_images

    def encode_ten_times(towers: OpenVinoTowers, inputs: ModelInputs) -> Vectors:
        """Otherwise the tiny model is busy for less than 1 % of a run."""
        return [encode_once(towers, inputs) for _ in range(10)][-1]

    monkeypatch.setattr(OpenVinoTowers, "encode_images", encode_ten_times)
    model = str(build_tiny_clip(tmp_path / "clip"))
    main(model=model, count=5, size=(1024, 767), batch=2, rounds=2, precision="fp32", threads=1)
    printed = capsys.readouterr().out
    assert "5 JPEGs of 1024 x 767 pixels" in printed
    rows = {
        row[0].strip(): [cell.strip() for cell in row[1:]]
        for row in (line.split("|")[1:-1] for line in printed.splitlines() if re.match(r"\| \w", line))
    }
    plain = rows["transformers, PyTorch fp32"]
    whole = rows["ours, fp32 in openvino-cpu: the whole run"]
    alone = rows["ours, fp32 in openvino-cpu: encoding alone"]
    assert (plain[1], alone[2], alone[3]) == ("1.00", "1.00", "100 %")
    assert 0 < float(whole[0]) < float(alone[0]), "a run does more than encode, in the second round too"
    assert 0 < int(whole[3].removesuffix(" %")) < 100
    assert re.search(r"Reading a picture: .* in full, .* reduced; cosine between the vectors [01]\.\d{4}", printed)
