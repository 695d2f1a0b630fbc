"""scripts/get_images.py against a real HTTP server; in a process of its own where the end of the process matters."""

import io
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from scripts.get_images import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "get_images.py"
DEADLINE_S = 60

Behaviour = Callable[[BaseHTTPRequestHandler, int], None]


class PictureSite:
    """Acts as picsum.photos: redirects to a picture, unless `behaviours` has a fault for the path."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.behaviours: dict[str, Behaviour] = {}
        self.arrived = threading.Event()
        self.let_go = threading.Event()
        self._lock = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests[handler.path] += 1
            nth = self.requests[handler.path]
            self.agents.add(handler.headers["User-Agent"])
        self.arrived.set()
        if handler.path in self.behaviours:
            self.behaviours[handler.path](handler, nth)
        elif handler.path.startswith("/seed/"):
            handler.send_response(302)
            handler.send_header("Location", handler.path.replace("/seed/", "/id/"))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        else:
            send(handler, 200, picture(handler.path))


def picture(path: str) -> bytes:
    width, height = (int(side) for side in path.split("/")[-2:])
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, promised: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if promised is None else promised))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


@pytest.fixture
def site() -> Iterator[PictureSite]:
    state = PictureSite()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join()


def command(out: Path, base_url: str, *arguments: str) -> list[str]:
    return [
        *(sys.executable, str(SCRIPT), "--out", str(out), "--size", "32x24", "--base-url", base_url),
        *("--backoff-s", "0.001", *arguments),
    ]


ENVIRONMENT = os.environ | {"no_proxy": "*", "COLUMNS": "200", "TERM": "xterm"}


def get_images(out: Path, base_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script in this process. If it can't download anything it ends its process: use `run_script` for that."""
    app = typer.Typer()
    app.command()(main)
    words = command(out, base_url, *arguments)[2:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", sys.exit)
        done = CliRunner().invoke(app, words, env={"no_proxy": "*", "COLUMNS": "200", "TERM": "xterm"})
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def run_script(out: Path, base_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does."""
    return subprocess.run(
        command(out, base_url, *arguments), capture_output=True, text=True, timeout=DEADLINE_S, env=ENVIRONMENT
    )


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_downloads_pictures_through_redirects(site: PictureSite, tmp_path: Path) -> None:
    done = run_script(tmp_path / "new" / "images", site.url, "3")

    assert (done.returncode, done.stderr) == (0, "")
    assert "3 downloaded, 0 already there, 0 failed" in done.stdout
    assert names(tmp_path / "new" / "images") == ["1-00000-32x24.jpg", "1-00001-32x24.jpg", "1-00002-32x24.jpg"]
    for path in (tmp_path / "new" / "images").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.size == (32, 24)
    assert site.agents == {"image2search-get-images"}


def test_a_second_run_downloads_only_what_is_missing(site: PictureSite, tmp_path: Path) -> None:
    get_images(tmp_path, site.url, "3")
    (tmp_path / "1-00001-32x24.jpg").unlink()
    site.requests.clear()

    done = get_images(tmp_path, site.url, "4")

    assert "2 downloaded, 2 already there, 0 failed" in done.stdout
    assert {path for path in site.requests if path.startswith("/seed/")} == {"/seed/1-1/32/24", "/seed/1-3/32/24"}


def test_another_seed_is_other_pictures(site: PictureSite, tmp_path: Path) -> None:
    get_images(tmp_path, site.url, "1", "--seed", "cats_7")

    assert names(tmp_path) == ["cats_7-00000-32x24.jpg"]
    assert "/seed/cats_7-0/32/24" in site.requests


def test_a_server_error_is_tried_again(site: PictureSite, tmp_path: Path) -> None:
    def busy_twice(handler: BaseHTTPRequestHandler, nth: int) -> None:
        status = (503, 429, 200)[nth - 1]
        send(handler, status, picture(handler.path) if status == 200 else b"busy")

    site.behaviours["/seed/1-0/32/24"] = busy_twice
    done = get_images(tmp_path, site.url, "1")

    assert done.returncode == 0
    assert site.requests["/seed/1-0/32/24"] == 3


def test_a_server_that_stays_broken_is_given_up(site: PictureSite, tmp_path: Path) -> None:
    site.behaviours["/seed/1-0/32/24"] = lambda handler, _: send(handler, 500, b"no")
    done = get_images(tmp_path, site.url, "2", "--attempts", "3")

    assert done.returncode == 1
    assert "1 downloaded, 0 already there, 1 failed" in done.stdout
    assert "/seed/1-0/32/24 answers 500" in done.stderr
    assert site.requests["/seed/1-0/32/24"] == 3
    assert names(tmp_path) == ["1-00001-32x24.jpg"]


def test_not_found_is_reported_at_once_and_the_others_go_on(site: PictureSite, tmp_path: Path) -> None:
    site.behaviours["/seed/1-1/32/24"] = lambda handler, _: send(handler, 404, b"none")
    done = get_images(tmp_path, site.url, "3")

    assert done.returncode == 1
    assert "/seed/1-1/32/24 answers 404" in done.stderr
    assert site.requests["/seed/1-1/32/24"] == 1
    assert names(tmp_path) == ["1-00000-32x24.jpg", "1-00002-32x24.jpg"]


def test_a_body_cut_short_is_tried_again(site: PictureSite, tmp_path: Path) -> None:
    def cut_once(handler: BaseHTTPRequestHandler, nth: int) -> None:
        data = picture(handler.path)
        send(handler, 200, data if nth > 1 else data[:100], promised=len(data))

    site.behaviours["/seed/1-0/32/24"] = cut_once
    done = get_images(tmp_path, site.url, "1")

    assert done.returncode == 0
    with Image.open(tmp_path / "1-00000-32x24.jpg") as image:
        image.load()


@pytest.mark.parametrize(
    ("body", "promised", "reason"),
    [
        (lambda path: picture(path)[:100], 5000, "stops in the middle"),
        (lambda path: picture(path)[:400], None, "no JPEG picture, or a damaged one"),
        (lambda _: b"<html>Please log in to the network</html>", None, "no JPEG picture"),
        (lambda _: b"", None, "no JPEG picture"),
    ],
    ids=["cut", "truncated", "html", "empty"],
)
def test_what_is_no_whole_picture_never_gets_a_name(
    site: PictureSite, tmp_path: Path, body: Callable[[str], bytes], promised: int | None, reason: str
) -> None:
    site.behaviours["/seed/1-0/32/24"] = lambda handler, _: send(handler, 200, body(handler.path), promised)
    done = get_images(tmp_path, site.url, "1")

    assert done.returncode == 1
    assert reason in done.stderr
    assert names(tmp_path) == []


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run_script(tmp_path, f"http://127.0.0.1:{port}", "20")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Can't reach http://127.0.0.1:{port} (")
    assert "Check the internet connection and run this again" in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(tmp_path) == []


def test_a_server_that_never_answers_is_given_up(site: PictureSite, tmp_path: Path) -> None:
    site.behaviours["/seed/1-0/32/24"] = lambda _, nth: (site.let_go.wait(), None)[1]
    done = run_script(tmp_path, site.url, "1", "--timeout-s", "0.2", "--attempts", "2")

    assert done.returncode == 1
    assert "timed out" in done.stderr
    assert site.requests["/seed/1-0/32/24"] == 2


def test_interrupt_ends_at_once_and_the_next_run_goes_on(site: PictureSite, tmp_path: Path) -> None:
    for number in range(1, 8):
        site.behaviours[f"/seed/1-{number}/32/24"] = lambda _, nth: (site.let_go.wait(), None)[1]
    running = subprocess.Popen(
        command(tmp_path, site.url, "8", "--workers", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert site.arrived.wait(DEADLINE_S)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=10)

    assert running.returncode == 130
    assert (stdout, stderr) == ("", "Stopped. Run this again to go on.\n")
    assert not [name for name in names(tmp_path) if name.endswith(".part")]
    site.let_go.set()
    site.behaviours.clear()
    assert get_images(tmp_path, site.url, "8").returncode == 0
    assert len(names(tmp_path)) == 8


def test_shows_a_bar_on_a_terminal(site: PictureSite, tmp_path: Path) -> None:
    terminal, ours = pty.openpty()
    with subprocess.Popen(command(tmp_path, site.url, "2"), stdout=ours, stderr=ours, env=ENVIRONMENT) as running:
        os.close(ours)
        shown = read_all(terminal)
        assert running.wait(DEADLINE_S) == 0
    os.close(terminal)
    assert "━" in shown
    assert "2/2" in shown


def read_all(terminal: int) -> str:
    shown = b""
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:  # Linux raises this when the other end of a terminal is closed.
        pass
    return shown.decode()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = get_images(tmp_path / "file" / "images", "http://127.0.0.1:9", "1")

    assert done.returncode == 1
    assert "Can't make the folder" in done.stderr
    assert "--out" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1", "--size", "640"), "WIDTHxHEIGHT"),
        (("1", "--size", "0x5"), "WIDTHxHEIGHT"),
        (("1", "--seed", "../x"), "file name"),
        (("1", "--base-url", "file:///etc"), "web address"),
        (("0",), "count"),
    ],
)
def test_arguments_that_can_not_work_are_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = get_images(tmp_path, "http://127.0.0.1:9", *arguments)

    assert done.returncode == 2
    assert message in done.stderr
