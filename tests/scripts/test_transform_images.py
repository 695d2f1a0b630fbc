"""scripts/transform_images.py: a mirror of smaller pictures, over made-up folders; in a process where that matters."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import ExifTags, Image
from typer.testing import CliRunner

from scripts.transform_images import main
from tests.support.picture_files import HEIC
from tests.support.pictures import assert_alike, encoded, quarters, smooth
from tests.support.profiles import DISPLAY_P3, rgb_profile
from tests.support.service import wait_until
from tests.support.shared_decoders import sharing_decoders

SCRIPT = Path(__file__).parents[2] / "scripts" / "transform_images.py"

app = typer.Typer()
app.command()(main)


@pytest.fixture(scope="module", autouse=True)
def decoders() -> Iterator[None]:
    with sharing_decoders("scripts.transform_images"):
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    files = {
        "wide.jpg": encoded(smooth(800, 400), "JPEG"),
        "a/b/tall.png": encoded(smooth(300, 900)),
        "a/small.webp": encoded(quarters(40, 30), "WEBP"),
    }
    for name, data in files.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


def transform(*arguments: object, fails: bool = False) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments), "--workers", "1"])
    assert result.exit_code == (1 if fails else 0), result.output
    return result.output


def files_in(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path for path in paths}


def sizes_in(folder: Path) -> dict[str, tuple[str | None, tuple[int, int]]]:
    sizes = {}
    for name, path in files_in(folder).items():
        with Image.open(path) as image:
            sizes[name] = image.format, image.size
    return sizes


def test_a_mirror_of_the_tree_beside_it(source: Path) -> None:
    assert "3 made, 0 already there, 0 left out" in transform(source)
    assert sizes_in(source.with_name("photos-336")) == {
        "wide.jpg": ("JPEG", (336, 168)),
        "a/b/tall.png": ("PNG", (112, 336)),
        "a/small.webp": ("WEBP", (40, 30)),
    }


def test_another_size_and_place(source: Path, tmp_path: Path) -> None:
    transform(source, tmp_path / "small", "--size", 100)
    assert {max(size) for _, size in sizes_in(tmp_path / "small").values()} == {100, 40}


def test_pictures_become_upright_and_srgb_and_lose_their_metadata(source: Path, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    green = Image.new("RGB", (400, 300), (117, 189, 92))
    (source / "turned.jpg").write_bytes(encoded(green, "JPEG", exif=turned, icc_profile=rgb_profile(DISPLAY_P3)))
    transform(source, tmp_path / "out")
    with Image.open(tmp_path / "out" / "turned.jpg") as image:
        assert image.size == (252, 336)
        assert not image.getexif()
        assert "icc_profile" not in image.info
        pixel = image.getpixel((100, 100))
    assert isinstance(pixel, tuple)
    assert all(abs(value - wanted) <= 4 for value, wanted in zip(pixel, (91, 193, 76), strict=True))


def test_formats_that_few_programs_read_become_jpeg_under_a_longer_name(source: Path, tmp_path: Path) -> None:
    (source / "phone.heic").write_bytes(HEIC)
    (source / "old.gif").write_bytes(encoded(quarters(), "GIF"))
    transform(source, tmp_path / "out")
    assert {"phone.heic.jpg", "old.gif.jpg"} <= files_in(tmp_path / "out").keys()
    with Image.open(tmp_path / "out" / "old.gif.jpg") as image:
        assert_alike(image.convert("RGB"), quarters(), within=8)


def test_two_pictures_with_one_name_for_their_copies(source: Path, tmp_path: Path) -> None:
    (source / "old.gif").write_bytes(encoded(quarters(), "GIF"))
    (source / "old.gif.jpg").write_bytes(encoded(quarters(), "JPEG"))
    for made in (4, 0):
        output = transform(source, tmp_path / "out", fails=True)
        assert f"{made} made" in output
        assert "old.gif.jpg: the copy of old.gif has the same name" in output


def test_a_second_run_does_what_is_new_or_changed(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    transform(source, out)
    before = {name: path.stat().st_ino for name, path in files_in(out).items()}
    (source / "new.png").write_bytes(encoded(quarters()))
    changed = source / "wide.jpg"
    changed.write_bytes(encoded(smooth(200, 400), "JPEG"))
    os.utime(changed, (2_000_000_000, 2_000_000_000))
    assert "2 made, 2 already there" in transform(source, out)
    assert sizes_in(out)["wide.jpg"] == ("JPEG", (168, 336))
    after = {name: path.stat().st_ino for name, path in files_in(out).items()}
    assert {name for name, inode in before.items() if after[name] != inode} == {"wide.jpg"}
    assert "0 made, 4 already there" in transform(source, out)


def test_files_that_can_not_be_read_are_named_and_the_others_are_done(source: Path, tmp_path: Path) -> None:
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    (source / "text.png").write_bytes(b"text")
    (source / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(21 << 20))
    output = transform(source, tmp_path / "out", fails=True)
    assert "3 made, 0 already there, 3 left out" in output
    assert f"Left out: {source / 'broken.jpg'}: The JPEG picture is damaged" in output
    assert f"Left out: {source / 'huge.png'}: It is larger than" in output
    assert files_in(tmp_path / "out").keys() == {"wide.jpg", "a/b/tall.png", "a/small.webp"}


def test_nothing_is_ever_written_into_the_source(source: Path, tmp_path: Path) -> None:
    before = files_in(source)
    link = tmp_path / "link"
    link.symlink_to(source)
    for target in (source, source / "small", link, link / "small", tmp_path, source / ".." / "photos" / "x"):
        assert "lie in each other" in transform(source, target, fails=True)
    out = tmp_path / "out"
    transform(source, out)
    for path in files_in(out).values():
        path.unlink()
    (out / "a" / "b").rmdir()
    (out / "a").rmdir()
    (out / "a").symlink_to(source)
    assert "by way of a link" in transform(source, out, fails=True)
    assert files_in(source) == before
    assert not list(source.rglob(".*"))


def test_a_folder_of_other_files_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "album"
    other.mkdir()
    (other / "wide.jpg").write_bytes(b"mine")
    assert "has not made" in transform(source, other, fails=True)
    assert (other / "wide.jpg").read_bytes() == b"mine"


def test_copies_of_two_sizes_do_not_mix(source: Path, tmp_path: Path) -> None:
    transform(source, tmp_path / "out", "--size", 100)
    assert "was made with --size 100 --quality 90" in transform(source, tmp_path / "out", "--size", 200, fails=True)


def test_places_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no pictures in" in transform(tmp_path / "empty", tmp_path / "out", fails=True)
    assert "is no folder" in transform(tmp_path / "none", tmp_path / "out", fails=True)
    assert not (tmp_path / "out").exists()


def test_it_runs_as_a_program_and_goes_on_after_an_interrupt(tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    source.mkdir()
    slow = encoded(smooth(2000, 1500))
    for number in range(6):
        (source / f"{number:02}.png").write_bytes(slow)
    command = [sys.executable, str(SCRIPT), str(source), str(out), "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: out.is_dir() and bool(files_in(out)), 60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Stopped. Run this again to go on." in errors) == (130, True), errors
    done = len(files_in(out))
    assert 0 < done < 6
    assert not list(out.rglob(".*.part"))
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f"{6 - done} made, {done} already there, 0 left out" in finished.stdout
