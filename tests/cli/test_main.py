"""`image2search` as a person types it, over a folder of pictures and a tiny model.

Commands run through their entry point in this process; signals and `index`, which replaces its process, in real ones.
"""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from app.cli import main as cli
from tests.support.service import KEYS, encoded, picture
from tests.support.tiny_models import build_tiny_clip

PROGRAM = Path(sys.executable).with_name("image2search")


@dataclass
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Workplace:
    """A folder with pictures and a model, and the program run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for key in KEYS:
            path = root / "pictures" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(picture(key), "JPEG" if key.endswith("jpg") else "PNG"))
        build_tiny_clip(root / "model")
        self.settings = {"STORAGE_URL": "file://pictures", "MODEL": "model"}

    def run(self, *arguments: str, **settings: str) -> Ended:
        """The command in this process, through its entry point."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setattr(sys, "argv", ["image2search", *arguments])
            patch.setattr(cli, "console", Console(width=200))
            patch.setattr(cli, "problems", Console(stderr=True, width=200))
            for name, value in {**self.settings, **settings}.items():
                patch.setenv(name, value)
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
                cli.main()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def run_process(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.root,
            env={**os.environ, **self.settings, **settings},
            capture_output=True,
            text=True,
            timeout=120,
        )

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The process and its address, once it says that it answers."""
        with subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.root,
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield (
                    process,
                    next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/docs)", line))),
                )
            finally:
                process.kill()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Indexed once for all tests of this file."""
    place = Workplace(tmp_path_factory.mktemp("cli"))
    before = place.run("search", "cat")
    assert before.returncode == 1
    assert "Run `image2search index`" in before.stderr
    indexed = place.run_process("index")
    assert indexed.returncode == 0, indexed.stderr
    return place


def test_search_by_text_lists_pictures_with_scores(workplace: Workplace) -> None:
    found = workplace.run("search", "a black cat", "-k", "3")
    assert found.returncode == 0, found.stderr
    rows = re.findall(r"^\s*(-?\d\.\d{3})\s+file://(\S.*?)\s*$", found.stdout, re.MULTILINE)
    assert len(rows) == 3
    assert [float(score) for score, _ in rows] == sorted((float(score) for score, _ in rows), reverse=True)
    assert all(Path(path).is_file() for _, path in rows)


def test_search_by_picture_finds_itself_first(workplace: Workplace) -> None:
    found = workplace.run("search", "pictures/nature/sunset1.jpg", "-k", "1")
    assert re.search(r"1\.000\s+file://\S*/nature/sunset1\.jpg", found.stdout), found.stdout + found.stderr


def test_search_stays_in_its_folder(workplace: Workplace) -> None:
    found = workplace.run("search", "anything", "-k", "100", "--folder", "nature")
    assert found.stdout.count("file://") == 3
    assert found.stdout.count("/pictures/nature/") == 3


def test_search_finds_the_folder_in_the_query_and_says_so(workplace: Workplace) -> None:
    found = workplace.run("search", "a black cat in nature", "-k", "100")
    assert found.stdout.count("file://") == found.stdout.count("/pictures/nature/") == 3
    assert "Searched nature for 'a black cat'" in found.stdout
    assert "with 'nature'. --no-auto-folder searches everywhere." in found.stdout


@pytest.mark.parametrize("arguments", [["a black cat in nature", "--no-auto-folder"], ["a cat among vehicles"]])
def test_search_looks_everywhere_if_told_or_pointed_nowhere(workplace: Workplace, arguments: list[str]) -> None:
    found = workplace.run("search", *arguments, "-k", "100")
    assert found.stdout.count("file://") == len(KEYS)
    assert "Searched" not in found.stdout


@pytest.mark.parametrize(("text", "reason"), [(" ", "say what to look for"), ("cat " * 501, "at most 2000 characters")])
def test_a_text_that_the_service_refuses_is_refused(workplace: Workplace, text: str, reason: str) -> None:
    refused = workplace.run("search", text)
    assert refused.returncode == 1
    assert reason in refused.stderr


def test_a_text_may_be_longer_than_a_path(workplace: Workplace) -> None:
    assert workplace.run("search", "a cat " * 300).returncode == 0


def test_search_in_a_folder_that_is_not_there_names_near_ones(workplace: Workplace) -> None:
    found = workplace.run("search", "anything", "--folder", "natrue")
    assert found.returncode == 1
    assert "nature" in found.stderr


def test_another_models_index_is_refused_with_both_named(workplace: Workplace) -> None:
    refused = workplace.run("search", "cat", MODEL="demo")
    assert refused.returncode == 1
    assert re.search(r"made by model .*loaded model is demo-clip .*--rebuild", refused.stderr)


@pytest.mark.parametrize(
    ("arguments", "env", "sentence"),
    [
        (["search", "x", "--folder", "[/x]"], {}, "'[/x]'"),
        (["search", "x"], {"STORAGE_URL": "ftp://host"}, "file://folder or s3://bucket"),
        (["serve"], {"PORT": "many"}, "PORT"),
        (["serve", "--host", "192.0.2.1"], {}, "Can't listen on 192.0.2.1:8000"),
    ],
)
def test_what_can_not_work_ends_in_one_sentence(
    workplace: Workplace, arguments: list[str], env: dict[str, str], sentence: str
) -> None:
    ended = workplace.run(*arguments, **env)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_is_nowhere_is_named(workplace: Workplace) -> None:
    """In a process of its own: the hub's library reads once whether it is offline."""
    ended = workplace.run_process("search", "x", MODEL="no-such-folder/model", HF_HUB_OFFLINE="1")
    assert ended.returncode == 1
    assert "MODEL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named(workplace: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = workplace.run("serve", "--port", str(port))
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "PORT=" in ended.stderr


def answers(address: str) -> bool:
    body = {"query": "cat", "k": 2}
    return (
        httpx2.get(f"{address}/health/ready").status_code == 200
        and len(httpx2.post(f"{address}/api/v1/search/text", json=body).json()["results"]) == 2
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_where_it_says_and_ends_quietly(workplace: Workplace, stop: signal.Signals) -> None:
    with workplace.serving("serve", "--port", "0") as (process, address):
        assert answers(address)
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_client_that_never_ends_its_upload_does_not_hold_up_the_end(workplace: Workplace) -> None:
    with workplace.serving("serve", "--port", "0") as (process, address):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /api/v1/search/image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            assert httpx2.get(f"{address}/health/live").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_index_passes_its_options_on(workplace: Workplace) -> None:
    helped = workplace.run_process("index", "--help")
    assert "--watch" in helped.stdout
    assert "--rebuild" in helped.stdout
