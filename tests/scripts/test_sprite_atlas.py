"""scripts/sprite_atlas.py over made-up folders: places and pixels agree, and a second run does what is new."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image, ImageStat
from typer.testing import CliRunner

from app.types import image_id_of
from scripts.sprite_atlas import main
from tests.support.pictures import encoded
from tests.support.service import picture
from tests.support.shared_decoders import sharing_decoders

SCRIPT = Path(__file__).parents[2] / "scripts" / "sprite_atlas.py"

app = typer.Typer()
app.command()(main)


@pytest.fixture(scope="module", autouse=True)
def decoders() -> Iterator[None]:
    with sharing_decoders("scripts.sprite_atlas"):
        yield


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(name)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "images", "a.png", "b/c.png", "d.png")
    return tmp_path / "images"


def make(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments), "--workers", "1"])
    assert result.exit_code == code, result.output
    return result.output


def places_in(folder: Path, name: str = "atlas.json") -> dict[str, dict[str, Any]]:
    """By path."""
    return {place["path"]: place for place in json.loads((folder.parent / name).read_bytes())["images"]}


def part(folder: Path, place: dict[str, Any], name: str = "atlas") -> Image.Image:
    number = place["page"]
    with Image.open(folder.parent / f"{name}{f'-{number}' if number else ''}.png") as page:
        return page.crop((place["x"], place["y"], place["x"] + place["w"], place["y"] + place["h"]))


def assert_shows(folder: Path, place: dict[str, Any]) -> None:
    shown = part(folder, place)
    expected = picture(place["path"], (place["w"], place["h"]))
    means = zip(ImageStat.Stat(shown).mean, ImageStat.Stat(expected).mean, strict=True)
    assert all(abs(ours - theirs) < 6 for ours, theirs in means), place


def pages_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.parent.glob("atlas*.png"))}


def test_the_atlas_lies_beside_the_folder(folder: Path) -> None:
    assert "3 drawn, 1 pages written, 0 left out" in make(folder)
    atlas = json.loads((folder.parent / "atlas.json").read_bytes())
    assert (atlas["cell"], atlas["pages"]) == (64, [{"file": "atlas.png", "width": 192, "height": 64}])
    first = atlas["images"][0]
    assert {name: first[name] for name in ("id", "page", "x", "y", "w", "h", "path")} == {
        **{"id": image_id_of("a.png"), "page": 0, "x": 0, "y": 0, "w": 60, "h": 40},
        "path": "a.png",
    }
    for place in places_in(folder).values():
        assert_shows(folder, place)


def test_two_runs_elsewhere_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    make(folder)
    other = tmp_path / "other" / "images"
    put(other, "d.png", "a.png", "b/c.png")
    make(other)
    assert pages_in(other) == pages_in(folder)
    assert places_in(other) == places_in(folder)


def test_one_more_picture_rewrites_one_page(folder: Path) -> None:
    put(folder, *(f"{number:02}.png" for number in range(14)))
    make(folder, "--cell", 512)
    before = pages_in(folder)
    assert list(before) == ["atlas-1.png", "atlas.png"]
    put(folder, "0 first by name.png")
    assert "1 drawn, 1 pages written" in make(folder, "--cell", 512)
    after = pages_in(folder)
    assert after["atlas.png"] == before["atlas.png"]
    assert after["atlas-1.png"] != before["atlas-1.png"]
    for place in places_in(folder).values():
        assert_shows(folder, place)
    assert "0 drawn, 0 pages written" in make(folder, "--cell", 512)


def test_a_page_that_was_drawn_upon_equals_one_that_is_drawn_anew(folder: Path) -> None:
    make(folder)
    put(folder, "e.png", "f.png")
    make(folder)
    upon = pages_in(folder)["atlas.png"]
    (folder.parent / "atlas.png").unlink()
    assert "5 drawn, 1 pages written" in make(folder)
    assert pages_in(folder)["atlas.png"] == upon


def test_deleted_and_changed_pictures(folder: Path) -> None:
    make(folder)
    before = places_in(folder)
    (folder / "a.png").unlink()
    make(folder)
    assert part(folder, before["a.png"]).getbbox() is None, "nothing is left of it"
    (folder / "b/c.png").write_bytes(encoded(Image.new("RGB", (40, 60), "white")))
    put(folder, "z.png")
    assert "2 drawn, 1 pages written" in make(folder)
    after = places_in(folder)
    assert (after["z.png"]["x"], after["z.png"]["y"]) == (before["a.png"]["x"], before["a.png"]["y"])
    assert after["d.png"] == before["d.png"]
    assert (after["b/c.png"]["x"], after["b/c.png"]["w"], after["b/c.png"]["h"]) == (before["b/c.png"]["x"], 40, 60)
    assert part(folder, after["b/c.png"]).getextrema() == ((255, 255),) * 3
    assert part(folder, before["b/c.png"]).crop((41, 0, 60, 40)).getbbox() is None, "its old edge is gone"


def test_pages_that_are_no_longer_needed_go(folder: Path) -> None:
    put(folder, *(f"{number:02}.png" for number in range(14)))
    make(folder, "--cell", 512)
    for path in folder.glob("[0-9]*.png"):
        path.unlink()
    for path in (folder / "a.png", folder / "d.png"):
        path.unlink()
    put(folder, "00.png")
    make(folder, "--cell", 512)
    assert list(pages_in(folder)) == ["atlas.png"]
    assert places_in(folder).keys() == {"00.png", "b/c.png"}


def test_pictures_that_can_not_be_read_are_named_and_left_out(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"rubbish")
    output = make(folder, code=1)
    assert "3 drawn, 1 pages written, 1 left out" in output
    assert f"Left out: {folder / 'broken.png'}: These bytes are no picture" in output
    assert places_in(folder).keys() == {"a.png", "b/c.png", "d.png"}
    assert "0 drawn, 0 pages written, 1 left out" in make(folder, code=1)
    put(folder, "broken.png")
    assert "1 drawn, 1 pages written, 0 left out" in make(folder)


def test_another_name_format_and_size(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        make(folder, "--cell", 32, "--out", tmp_path / "small.webp")
    with Image.open(tmp_path / "small.webp") as page:
        assert (page.format, page.size) == ("WEBP", (96, 32))
    assert {place["w"] for place in places_in(folder, "small.json").values()} == {32}
    put(folder, "e.png")
    assert "4 drawn, 1 pages written" in make(folder, "--cell", 32, "--out", tmp_path / "small.webp")
    assert "4 drawn, 1 pages written" in make(folder, "--cell", 64, "--out", tmp_path / "small.webp")


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"[1]", b'{"cell": 64, "images": [{"id": "x"}], "pages": []}'])
def test_a_damaged_list_of_places_is_made_anew(folder: Path, rubbish: bytes) -> None:
    make(folder)
    before = places_in(folder)
    (folder.parent / "atlas.json").write_bytes(rubbish)
    assert "3 drawn" in make(folder)
    assert places_in(folder) == before


def test_what_can_not_be_done(folder: Path, tmp_path: Path) -> None:
    assert "lies among the pictures" in make(folder, "--out", folder / "atlas.png", code=1)
    assert "neither .png nor .webp" in make(folder, "--out", tmp_path / "atlas.jpg", code=1)
    (tmp_path / "empty").mkdir()
    assert "no pictures in" in make(tmp_path / "empty", code=1)
    assert not list(folder.rglob("atlas*"))


def test_it_runs_as_a_program(folder: Path) -> None:
    command = [sys.executable, str(SCRIPT), "images", "--workers", "1"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, timeout=120, check=True)
    assert "3 drawn" in done.stdout
    assert (folder.parent / "atlas.png").is_file()
