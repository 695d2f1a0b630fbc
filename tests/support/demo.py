"""`image2search demo` as a real process, without the packages of the extra `models`, as `make demo` installs it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import unmeasured

PROGRAM = Path(sys.executable).with_name("image2search")
WITHOUT_MODELS = Path(__file__).with_name("without_models")


@dataclass(frozen=True)
class Demo:
    """One that runs, in `folder`; `printed` is what it printed until it was ready."""

    folder: Path
    address: str
    printed: str


@pytest.fixture(scope="session")
def first_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """From nothing, beside an `.env` that is for something else. Making its index takes most of the time."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / ".env").write_text("STORAGE_URL=s3://of-another-project\nMODEL=openai/clip-vit-base-patch32\n")
    with demo(folder) as running:
        wait_for_relevance(running.address)
        yield running


def demo_environment() -> dict[str, str]:
    """The environment of a fresh checkout's `make demo`."""
    kept = {name: value for name, value in unmeasured().items() if name not in ("STORAGE_URL", "MODEL")}
    return {**kept, "SEARCH_RELEVANCE": "true", "PYTHONPATH": str(WITHOUT_MODELS), "PYTHONUNBUFFERED": "1"}


def wait_for_relevance(address: str) -> None:
    """A service answers without it for its first moments."""
    until = time.monotonic() + 120
    while True:
        found = httpx2.post(f"{address}/api/v1/search/text", json={"query": "a red car at night", "k": 1}).json()
        if found["results"][0]["relevance"] is not None:
            return
        assert time.monotonic() < until, "the answers say no relevance"
        time.sleep(0.2)


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """Run in `folder`, and ended by Ctrl-C."""
    with (
        (folder / "stderr.txt").open("a") as stderr,
        subprocess.Popen(
            [PROGRAM, "demo", "--port", "0"],
            cwd=folder,
            env=demo_environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.match(r"Docs: (http://\S+)/docs", line):
                break
        else:
            raise AssertionError((folder / "stderr.txt").read_text())
        try:
            yield Demo(folder, found[1], printed)
        finally:  # or Popen would wait for ever after a test that failed
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
