"""The indexer as a process of its own: signals, schedules, lost readers, and two at once.

Runs that follow or meet the one in the process are in this process: a start takes seconds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.settings import IndexSettings
from app.storage.local import LocalStore
from tests.indexer.gated_indexer import gated_app
from tests.indexer.picture_collection import png
from tests.support.catalogs import catalog_on

TIMEOUT_S = 90
PICTURES = 20


class Run:
    """A running indexer whose output goes to files, where a test may look at any time."""

    def __init__(self, folder: Path, module: str, *options: str, settings: dict[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *options], stdout=out, stderr=err, env={**os.environ, **settings}
            )

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects that stdout holds by now."""
        text = self._out.read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def reports(self) -> list[dict[str, Any]]:
        return [line["report"] for line in self.lines() if "report" in line]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert self.process.poll() is None, f"it ended early: {self.stderr}"
            assert time.monotonic() < deadline, f"it never came true: {self.stderr}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "bucket").mkdir(exist_ok=True)
    store = LocalStore(tmp_path / "bucket")
    for seed in range(PICTURES):
        store.put(f"{seed:02}.png", png(seed))
    return store


@pytest.fixture
def settings(tmp_path: Path, model_folder: Path) -> dict[str, str]:
    return {
        "STORAGE_URL": f"file://{tmp_path}/bucket",
        "MODEL": str(model_folder),
        "INDEX_BATCH_SIZE": "4",
        "INDEX_LOCK_TTL_S": "30",
    }


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


@pytest.fixture
def start(tmp_path: Path, gate: Path, settings: dict[str, str], store: LocalStore) -> Iterator[Callable[..., Run]]:
    """Starts an indexer: gated, unless `gated=False` asks for the real model."""
    runs: list[Run] = []

    def start(*options: str, gated: bool = True) -> Run:
        module = ("tests.indexer.gated_indexer", str(gate)) if gated else ("indexer",)
        runs.append(Run(tmp_path / f"run-{len(runs)}", *module, *options, "--progress", "json", settings=settings))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()


@pytest.fixture
def run_here(gate: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Result]:
    """Runs the gated indexer in this process."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return lambda: CliRunner().invoke(gated_app(gate), ["--progress", "json"])


def await_file(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.02)


def indexed(store: LocalStore) -> int:
    snapshot = catalog_on(store, IndexSettings()).load()
    return len(snapshot.records) if snapshot else 0


@pytest.mark.parametrize(
    ("options", "number"),
    [((), signal.SIGTERM), ((), signal.SIGINT), (("--watch", "1000"), signal.SIGINT)],
    ids=["SIGTERM", "SIGINT", "SIGINT, watching"],
)
def test_interrupted_in_the_middle_it_publishes_and_the_next_run_goes_on(
    start: Callable[..., Run],
    run_here: Callable[[], Result],
    gate: Path,
    store: LocalStore,
    options: tuple[str, ...],
    number: signal.Signals,
) -> None:
    run = start(*options)
    run.until((gate / "batch-3").exists)
    run.send(number)
    run.until((gate / "signalled").exists)
    (gate / "open").touch()

    assert run.ended() == 0, run.stderr
    (report,) = run.reports()
    assert report["interrupted"]
    assert (report["added"], report["left"]) == (12, PICTURES - 12)
    assert indexed(store) == 12

    following = run_here()
    assert following.exit_code == 0, following.output
    report = json.loads(following.stdout.splitlines()[-1])["report"]
    assert (report["added"], report["unchanged"], report["embedded"]) == (PICTURES - 12, 12, PICTURES - 12)
    assert indexed(store) == PICTURES


def test_a_second_signal_ends_it_at_once(start: Callable[..., Run], gate: Path, store: LocalStore) -> None:
    run = start()
    run.until((gate / "batch-3").exists)
    run.send(signal.SIGTERM)
    run.until(lambda: "A second signal" in run.stderr)
    run.send(signal.SIGTERM)
    assert run.ended() == -signal.SIGTERM
    assert indexed(store) == 0


@pytest.mark.parametrize("end", ["the reader is killed", "and a signal comes"])
def test_a_run_outlives_its_reader(gate: Path, settings: dict[str, str], store: LocalStore, end: str) -> None:
    """As when the service that started it is killed: its output has no reader, and it publishes all the same."""
    command = [sys.executable, "-m", "tests.indexer.gated_indexer", str(gate), "--progress", "json"]
    environment = {**os.environ, **settings}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await_file(gate / "batch-3")
        process.stdout.close()
        process.stderr.close()
        if end == "and a signal comes":
            process.send_signal(signal.SIGTERM)
            await_file(gate / "signalled")
        (gate / "open").touch()
        assert process.wait(TIMEOUT_S) in (1, 120)
    assert indexed(store) == (12 if end == "and a signal comes" else PICTURES)


def test_of_two_runs_at_once_one_is_refused(
    start: Callable[..., Run], run_here: Callable[[], Result], gate: Path, store: LocalStore
) -> None:
    first = start()
    first.until((gate / "batch-3").exists)

    second = run_here()
    assert second.exit_code == 1
    assert "Another index run" in second.stderr.splitlines()[-1]
    assert "Traceback" not in second.stderr
    assert json.loads(second.stdout.splitlines()[-1])["error"]["type"] == "IndexBusy"

    (gate / "open").touch()
    assert first.ended() == 0
    assert indexed(store) == PICTURES


def test_watching_takes_in_what_comes_outlives_a_failed_run_and_ends_on_sigterm(
    start: Callable[..., Run], store: LocalStore
) -> None:
    run = start("--watch", "0.2", gated=False)
    run.until(lambda: len(run.reports()) >= 1)
    assert run.reports()[0]["added"] == PICTURES

    store.put("later.png", png(99))
    run.until(lambda: any(report["added"] == 1 for report in run.reports()))
    assert indexed(store) == PICTURES + 1
    assert sum(report["embedded"] for report in run.reports()) == PICTURES + 1

    for seed in range(PICTURES):
        store.delete(f"{seed:02}.png")
    run.until(lambda: any("error" in line for line in run.lines()))
    assert "--allow-shrink" in run.stderr
    for seed in range(PICTURES):
        store.put(f"{seed:02}.png", png(seed))
    run.until(lambda: indexed(store) == PICTURES + 1)
    run.send(signal.SIGTERM)
    assert run.ended() == 0, run.stderr
