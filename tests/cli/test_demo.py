"""`image2search demo` from an empty folder: a real process, the shipped samples and model, the printed commands run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.demo import SAMPLES, demo_settings
from app.settings import Settings, environment_of
from tests.support.demo import Demo, demo

pytestmark = pytest.mark.long(50)


def report_of(printed: str) -> dict:
    """The indexer's report is the JSON object that stands first on stdout when that is no terminal."""
    report, _ = json.JSONDecoder().raw_decode(printed[printed.index("{") :])
    return report


def count_samples() -> int:
    return sum(path.is_file() and path.suffix in (".jpg", ".png", ".gif", ".webp") for path in SAMPLES.rglob("*"))


def test_the_demo_from_nothing(first_demo: Demo) -> None:
    assert report_of(first_demo.printed)["added"] == count_samples() >= 280
    commands = [line.strip() for line in first_demo.printed.splitlines() if line.strip().startswith("curl ")]
    assert len(commands) == 3
    answers = [
        json.loads(subprocess.run(command, shell=True, cwd=first_demo.folder, capture_output=True, check=True).stdout)
        for command in commands
    ]
    assert [len(answer["results"]) for answer in answers] == [5, 3, 5]
    assert {hit["folder"] for hit in answers[2]["results"]} == {"food"}
    shown = re.search(r"file=@(\S+)", commands[1])[1]
    assert answers[1]["results"][0]["object_key"].endswith(Path(shown).name)


def test_the_demo_again_embeds_nothing_and_ends_in_order(first_demo: Demo, tmp_path: Path) -> None:
    """Over what the first one has stored."""
    shutil.copytree(first_demo.folder, tmp_path, dirs_exist_ok=True)
    with demo(tmp_path) as again:
        report = report_of(again.printed)
        assert (report["embedded"], report["unchanged"]) == (0, count_samples())


@pytest.mark.parametrize(("variable", "own"), [("STORAGE_URL", "file://data/demo"), ("MODEL", "demo")])
def test_the_demo_has_a_store_and_a_model_of_its_own(monkeypatch: pytest.MonkeyPatch, variable: str, own: str) -> None:
    monkeypatch.setenv(variable, "s3://somebody-elses")
    assert environment_of(demo_settings(Settings()))[variable] == own


def test_the_demo_keeps_its_index_with_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_URL", "s3://somebody-elses")
    assert environment_of(demo_settings(Settings()))["INDEX_URL"] == ""
