"""How the caller of an index run learns of its end. A stand-in for the indexer ends in each way."""

import signal
import subprocess
import sys

import pytest

from app.indexing import foreground
from app.indexing.foreground import run_indexer
from app.indexing.messages import Report
from app.settings import Settings, StorageSettings


@pytest.fixture
def _indexer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that runs its first option as Python."""
    monkeypatch.setattr(foreground, "COMMAND", (sys.executable, "-c", "import os, signal, sys; exec(sys.argv[1])"))


@pytest.mark.usefixtures("_indexer")
def test_the_report_comes_back_and_the_settings_go_in() -> None:
    settings = Settings(storage=StorageSettings(url="my pictures"))
    script = 'assert os.environ["STORAGE_URL"] == "my pictures"; print(\'{"seen": 3, "added": 2}\')'
    assert run_indexer(settings, script) == Report(seen=3, added=2)


@pytest.mark.usefixtures("_indexer")
def test_a_run_that_fails_has_said_why() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_indexer(Settings(), "sys.exit(3)")
    assert failed.value.returncode == 3


@pytest.mark.usefixtures("_indexer")
@pytest.mark.parametrize(
    "script",
    [
        "os.kill(os.getppid(), signal.SIGINT); print('{\"interrupted\": true}')",
        "signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)",
    ],
    ids=["the indexer ends in order", "a second Ctrl-C"],
)
def test_ctrl_c_waits_for_the_indexer_and_then_ends_the_caller(script: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_indexer(Settings(), script)
    assert signal.getsignal(signal.SIGINT) is before
