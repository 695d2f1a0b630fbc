"""`image2search demo` from an empty folder: a real process, the shipped samples and model, the printed commands run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from app.cli.demo import SAMPLES, demo_settings
from app.settings import Settings, environment_of
from tests.support.demo import PROGRAM, Demo, demo, demo_environment

pytestmark = pytest.mark.long(50)


def count_samples() -> int:
    return sum(path.is_file() and path.suffix in (".jpg", ".png", ".gif", ".webp") for path in SAMPLES.rglob("*"))


def indexed(folder: Path) -> list[str]:
    """What the indexer told a person, one line a run."""
    return [line for line in (folder / "stderr.txt").read_text().splitlines() if " added, " in line]


def test_the_demo_from_nothing(first_demo: Demo) -> None:
    """Beside an `.env` for something else, which the printed commands overrule."""
    assert f"{count_samples()} added" in indexed(first_demo.folder)[0]
    assert f"image2search is ready: open {first_demo.address} in a browser." in first_demo.printed
    commands = [
        line for line in first_demo.printed.splitlines() if line.startswith("  ") and not line.startswith("  #")
    ]
    described, shown, sent, added, drawn = [
        subprocess.run(
            command,
            shell=True,
            cwd=first_demo.folder,
            env=demo_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for command in commands
    ]
    assert described[0].endswith(" — data/demo/vehicles/red-car-at-night.jpg")
    assert added[-1].endswith(" — data/demo/mine/fox-in-snow.jpg")
    mine = f"{first_demo.address}/api/v1/images/{json.loads(added[0])['image_id']}"
    assert httpx2.delete(mine, params={"permanently": True}).json()["count"] == 1
    assert drawn == ["red-car.png"]
    with Image.open(first_demo.folder / "red-car.png") as picture:
        assert picture.size == (96, 96)
        assert len(picture.getcolors(96 * 96)) > 500, "the picture is flat"
    assert (len(described), len(shown)) == (5, 3)
    example = re.search(r"(\S+) -k 3", commands[1])[1]
    assert shown[0] == f"1.000 — data/demo/animals/{Path(example).name}"
    assert [hit["object_key"] for hit in json.loads("".join(sent))["results"]] == ["vehicles/red-car-at-night.jpg"]
    assert max(len(line) for line in sent if "next_cursor" not in line) < 120


def test_the_demo_again_embeds_nothing_and_ends_in_order(first_demo: Demo, tmp_path: Path) -> None:
    """Over what the first one has stored."""
    shutil.copytree(first_demo.folder, tmp_path, dirs_exist_ok=True)
    with demo(tmp_path) as again:
        assert f"{count_samples()} unchanged, 0 skipped, 0 failed; 0 embedded" in indexed(tmp_path)[-1]
        found = httpx2.post(f"{again.address}/api/v1/search/text", json={"query": "a dog", "k": 1})
        assert found.json()["results"][0]["object_key"].startswith("animals/dog")
    assert "still going on" not in (tmp_path / "stderr.txt").read_text(), "threads that wait for nothing are no calls"


def test_the_demo_needs_no_pytorch(first_demo: Demo) -> None:
    """The fixture's index run and service had none; a search from the terminal has none either."""
    with_demo = demo_environment() | {"STORAGE_URL": "file://data/demo", "MODEL": "demo"}
    torch = subprocess.run([sys.executable, "-c", "import torch"], env=with_demo, capture_output=True, text=True)
    assert "ModuleNotFoundError: import of torch halted" in torch.stderr
    command = [PROGRAM, "search", "a red car at night", "-k", "1"]
    found = subprocess.run(command, cwd=first_demo.folder, env=with_demo, capture_output=True, text=True)
    assert "vehicles/red-car-at-night.jpg" in found.stdout, found.stderr


@pytest.mark.parametrize(
    ("variable", "own"),
    [("STORAGE_URL", "data/demo"), ("MODEL", "demo"), ("CAPTION_MODEL", "demo"), ("GENERATION_MODEL", "demo")],
)
def test_the_demo_has_a_store_and_a_model_of_its_own(monkeypatch: pytest.MonkeyPatch, variable: str, own: str) -> None:
    monkeypatch.setenv(variable, "s3://of-another-project")
    assert environment_of(demo_settings(Settings()))[variable] == own


def test_the_demo_keeps_its_index_with_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_URL", "s3://of-another-project")
    assert environment_of(demo_settings(Settings()))["INDEX_URL"] == ""
