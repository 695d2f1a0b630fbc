"""The commands of README.md and docs/deploy.md run as they are written, and the answers that they show are real ones.

They run in their order, in a folder that looks like a checkout after `make demo`, for a user who has a few pictures.
What asks `localhost:8000` asks the demo. A service that a block starts is stopped once it has answered.
"""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from app.settings import load_settings, variables
from tests.support.demo import Demo
from tests.support.processes import unmeasured

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/deploy.md", "docs/library.md")
DEADLINE_S = 120.0

NOT_RUN = {
    r"docker\b": "a container engine",
    r"aws ": "the AWS CLI and an account",
    r"make demo": "pip; the demo of these tests is what it starts",
    r"make (test|check)": "pip; these are the tests",
    r"\.venv/bin/pip install|pip install": "a package index",
    r"EOF|s3://": "a bucket; tests/storage and tests/indexer have a server",
    r"MODEL=\w+/": "the Hugging Face hub",
    r"--engine ray": "Ray, which tests/indexer/ray starts",
}
"""What a block may need that these tests do not have: a pattern of its text, and what it is."""

READ_BY_OTHERS = {"mermaid": "GitHub", "nginx": "nginx", "caddy": "Caddy", "js": "a browser", "text": "a person"}
"""Blocks in languages for which no reader is installed here."""

NEW_EACH_TIME = ("generation", "took_ms", "next_cursor", "date")
NEAR = 0.2
"""How far a score may lie from the shown one. A newly trained demo model moves scores, and the best hits stay."""


@dataclass(frozen=True)
class Block:
    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        text = (ROOT / document).read_text("utf-8")
        for found in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(document, line, found[2], textwrap.dedent(found[3]))


BLOCKS = list(blocks())


def need_of(block: Block) -> str | None:
    return next((need for pattern, need in NOT_RUN.items() if re.search(pattern, block.text)), None)


SHELL = ["bash", "-e", "-o", "pipefail", "-c"]
RUNNERS = {"sh": SHELL, "bash": SHELL, "python": ["python", "-c"]}
COMMANDS = [block for block in BLOCKS if block.language in RUNNERS]
RUN = [block for block in COMMANDS if need_of(block) is None]
SHOWN = [(block, after) for block, after in pairwise(BLOCKS) if block in RUN and after.language == "json"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, first_demo: Demo) -> Path:
    """What `make` compares is old there, so that it installs nothing."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name != "data":
            (folder / path.name).symlink_to(path)
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).unlink()
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (0, 0))
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "data").mkdir()
    (folder / "data" / "demo").symlink_to(first_demo.folder / "data" / "demo")
    copy_pictures(folder / "data" / "images")
    return folder


def copy_pictures(folder: Path) -> None:
    """Three of the samples, as pictures that a user has."""
    folder.mkdir()
    for sample in sorted((ROOT / "samples" / "animals").glob("cat-*.jpg"))[:3]:
        shutil.copy(sample, folder)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user with three pictures, whose shell finds our program."""
    home = tmp_path_factory.mktemp("home")
    copy_pictures(home / "Pictures")
    ours = {name for name, _, _ in variables()} - {"MODEL_CACHE", "PRECISION", "CAPTION_PRECISION", "SEARCH_RELEVANCE"}
    inherited = {name: value for name, value in unmeasured().items() if name not in ours}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**inherited, "HOME": str(home), "PATH": path, "PORT": "0", "PYTHONUNBUFFERED": "1"}


def run(block: Block, folder: Path, environment: dict[str, str], demo: Demo) -> str:
    """What the block prints. A service that it starts is asked whether it is ready, and stopped by Ctrl-C."""
    text = block.text.replace("localhost:8000", httpx2.URL(demo.address).netloc.decode())
    serves, ready = bool(re.search(r"\bserve\b", text)), 0
    with (
        (folder / "stderr.txt").open("w+") as stderr,
        subprocess.Popen(
            [*RUNNERS[block.language], text], cwd=folder, env=environment,
            stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True,
        ) as process,
        ended_in_time(process),
    ):  # fmt: skip
        output = ""
        for line in process.stdout:
            output += line
            if found := re.match(r"Docs: (http://\S+)/docs", line):
                ready = httpx2.get(f"{found[1]}/health/ready").status_code
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait()
        stderr.seek(0)
        assert ready == 200 if serves else code == 0, output + stderr.read()
    return output


@contextmanager
def ended_in_time(process: subprocess.Popen[str]) -> Iterator[None]:
    timer = threading.Timer(DEADLINE_S, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture(scope="module")
def output_of(checkout: Path, environment: dict[str, str], first_demo: Demo) -> Callable[[Block], str]:
    """Runs a block once, with no `.env` but its own."""

    @cache
    def output_of(block: Block) -> str:
        (checkout / ".env").unlink(missing_ok=True)
        return run(block, checkout, environment, first_demo)

    return output_of


@pytest.mark.parametrize("block", RUN, ids=str)
def test_commands_run_as_written(block: Block, output_of: Callable[[Block], str]) -> None:
    output_of(block)


@pytest.mark.parametrize(("block", "answer"), SHOWN, ids=str)
def test_answers_are_real(block: Block, answer: Block, output_of: Callable[[Block], str], first_demo: Demo) -> None:
    real = output_of(block).replace(first_demo.address, "http://localhost:8000")
    real = real.replace(f"file://{first_demo.folder.resolve()}/", "file:///home/me/image2search/")

    assert differences(json.loads(answer.text), json.loads(real)) == []


def differences(shown: Any, real: Any, where: str = "") -> list[str]:
    """Where a shown answer is not as the real one."""
    if isinstance(shown, dict) and isinstance(real, dict) and shown.keys() == real.keys():
        return [each for name in shown for each in differences(shown[name], real[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        pairs = enumerate(zip(shown, real, strict=True))
        return [each for number, pair in pairs for each in differences(*pair, f"{where}[{number}]")]
    if where.rpartition(".")[2] in NEW_EACH_TIME:
        return [] if type(shown) is type(real) else [where]
    if isinstance(shown, float) and isinstance(real, float):
        return [] if abs(shown - real) <= NEAR else [where]
    return [] if shown == real else [f"{where}: {shown!r} is {real!r}"]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in COMMANDS], ids=str)
def test_files_can_be_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    match block.language:
        case "dotenv":
            monkeypatch.setattr(os, "environ", {})
            (tmp_path / ".env").write_text(block.text)
            load_settings(tmp_path / ".env")
        case "json":
            json.loads(block.text)
        case "yaml":
            assert all(yaml.safe_load_all(block.text))
        case "python":
            compile(block.text, str(block), "exec")
        case "ini":
            for unit in block.text.split("\n\n"):
                configparser.ConfigParser(interpolation=None).read_string(unit)
        case language:
            assert language in READ_BY_OTHERS


def test_what_is_not_run_still_stands_in_the_documents() -> None:
    for pattern in NOT_RUN:
        assert any(re.search(pattern, block.text) for block in COMMANDS), pattern
    assert len(RUN) >= 3
    assert {block.document for block in RUN} == set(DOCUMENTS)
    assert SHOWN
