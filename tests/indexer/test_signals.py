"""Signals in this very process; what a second one does is shown on a real one in test_process."""

import os
import signal
import threading

import pytest

from indexer import signals as stop_module
from indexer.signals import StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_wakes_who_waits(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop()
        timer = threading.Timer(0.02, os.kill, (os.getpid(), number))
        timer.start()
        stop.wait()
        timer.join()
        assert stop()
    assert signal.getsignal(number) is before
    assert "second signal" in capfd.readouterr().err


def test_a_signal_is_noted_when_nobody_reads_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(stop_module, "STDERR", write_end)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.wait()
        assert stop()
    os.close(write_end)
