"""`image2search generate` as a person types it, with a tiny converted pipeline."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.models.generator import folder as pipelines
from app.models.generator.base import Parameters
from app.models.generator.record import parameters_of
from app.pictures.png_text import read_png_text
from tests.cli.workplace import PROGRAM, Ended, Workplace
from tests.support.demo import demo_environment
from tests.support.tiny_generators import build_tiny_converted

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate_image.py"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("generate"), "demo")
    build_tiny_converted(place.root / "painter")
    place.settings["GENERATION_MODEL"] = "painter"
    return place


def draw(workplace: Workplace, *arguments: str, **settings: str) -> Ended:
    return workplace.run("generate", "a red car", *arguments, **settings)


def made_by(path: Path) -> Parameters:
    return parameters_of(read_png_text(path.read_bytes()))


def test_a_picture_says_how_it_was_made_and_can_be_made_again(workplace: Workplace) -> None:
    options = ("--size", "72x48", "--steps", "3", "--guidance", "4", "--negative", "fog", "--scheduler", "dpm++")
    drawn = draw(workplace, "-o", "car.png", "--seed", "7", *options)
    assert (drawn.returncode, drawn.stdout, drawn.stderr) == (0, "car.png\n", "")
    file = workplace.root / "car.png"
    assert made_by(file) == Parameters("a red car", 72, 48, 3, 4.0, 7, "dpm++", "fog")
    with Image.open(file) as image:
        assert (image.size, image.mode) == ((72, 48), "RGB")
    again = draw(workplace, "-o", "again.png", "--seed", "7", *options)
    assert again.stdout == "again.png\n"
    assert (workplace.root / "again.png").read_bytes() == file.read_bytes()


def test_without_options_it_is_as_the_model_does_it(workplace: Workplace) -> None:
    assert draw(workplace).stdout == "generated.png\n"
    made = made_by(workplace.root / "generated.png")
    assert (made.width, made.height, made.steps, made.guidance, made.scheduler) == (64, 64, 20, 7.5, "ddim")


def test_several_pictures_have_seeds_that_count_up(workplace: Workplace) -> None:
    drawn = draw(workplace, "-o", "several.png", "-n", "3", "--seed", "4294967294", "--steps", "1")
    assert drawn.stdout == "several-1.png\nseveral-2.png\nseveral-3.png\n"
    seeds = [made_by(workplace.root / f"several-{number}.png").seed for number in (1, 2, 3)]
    assert seeds == [4294967294, 4294967295, 0]


def test_a_drawing_begins_from_a_picture(workplace: Workplace) -> None:
    Image.linear_gradient("L").resize((400, 200)).save(workplace.root / "wide.jpg")
    drawn = draw(workplace, "-o", "from-wide.png", "--init", "wide.jpg", "--strength", "0.5", "--steps", "2")
    assert drawn.returncode == 0, drawn.stderr
    made = made_by(workplace.root / "from-wide.png")
    assert (made.width, made.height, made.strength) == (88, 48, 0.5)


def test_the_demo_model_draws_where_none_is_set(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "DEMO_FOLDER", workplace.root / "painter")
    drawn = draw(workplace, "-o", "demo.png", "--steps", "1", GENERATION_MODEL="")
    assert drawn.stdout == "demo.png\n"
    assert "Drawn by the demo model" in drawn.stderr
    assert "Set GENERATION_MODEL" in drawn.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "car.jpg"), "End it in .png."),
        (("-o", "nowhere/car.png"), "There is no folder nowhere"),
        (("-o", "there.png"), "there.png is there already. Name another file with -o, or add --overwrite."),
        (("-o", "there.png", "-n", "2"), "there-2.png is there already"),
        (("--size", "big"), "Write width and height as in 96x128."),
        (("--size", "65x64"), "width=65 can't be drawn"),
        (("--steps", "0"), "takes 1 to 500"),
        (("--scheduler", "none"), "It has ddim, dpm++."),
        (("--init", "nothing.jpg"), "nothing.jpg can't be read: No such file or directory."),
        (("--init", "painter/model_index.json"), "Error:"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_leaves_no_file(
    workplace: Workplace, arguments: tuple[str, ...], said: str
) -> None:
    for name in ("there.png", "there-2.png"):
        (workplace.root / name).write_text("mine")
    before = sorted(workplace.root.iterdir())
    ended = draw(workplace, *(arguments if "-o" in arguments else ("-o", "wrong.png", *arguments)))
    assert ended.returncode == 1
    assert said in ended.stderr
    assert sorted(workplace.root.iterdir()) == before
    assert (workplace.root / "there.png").read_text() == "mine"


def test_a_file_is_written_over_when_asked(workplace: Workplace) -> None:
    (workplace.root / "old.png").write_text("old")
    assert draw(workplace, "-o", "old.png", "--steps", "1", "--overwrite").returncode == 0
    assert made_by(workplace.root / "old.png").steps == 1


def test_a_plain_installation_draws_and_names_what_others_need(workplace: Workplace) -> None:
    def run(**settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, SCRIPT, "a red car", "-o", "plain.png", "--steps", "1", "--overwrite"],
            cwd=workplace.root, env=demo_environment() | workplace.settings | settings, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    drawn = run()
    assert (drawn.stdout, drawn.stderr) == ("plain.png\n", "")
    refused = run(GENERATION_MODEL="someone/painter")
    assert refused.returncode == 1
    assert "pip install 'image2search[generation]'" in refused.stderr.replace("\n", " ")


def test_ctrl_c_ends_it_without_a_half_file(workplace: Workplace) -> None:
    ours, theirs = pty.openpty()
    command = [PROGRAM, "generate", "a red car", "-o", "long.png", "--steps", "500", "--size", "256x256", "-n", "9"]
    environment = demo_environment() | workplace.settings | {"COLUMNS": "100", "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=workplace.root, env=environment, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while not re.search(rb"[1-9]\d*/500", shown):
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while read_rest(ours):
            pass
        assert process.wait(30) == 130
    os.close(ours)
    assert b"long-1.png" in shown
    assert b"Traceback" not in shown
    assert not list(workplace.root.glob("*long*"))


def read_rest(handle: int) -> bytes:
    """What the terminal shows; empty once its program has ended."""
    try:
        return os.read(handle, 4096)
    except OSError:
        return b""
