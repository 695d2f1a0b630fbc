"""Signals in this very process; what a second one does is shown on a real one in test_process."""

import os
import signal
import threading
import time

import pytest

from indexer import signals
from indexer.signals import NeverStop, StopSignal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_ends_the_waiting(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop()
        timer = threading.Timer(0.02, os.kill, (os.getpid(), number))
        timer.start()
        assert stop.wait(20)
        timer.join()
        assert stop()
    assert signal.getsignal(number) is before
    assert "second signal" in capfd.readouterr().err


def test_a_signal_is_noted_when_the_notice_has_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(signals, "STDERR", write_end)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(20)
        assert stop()
    os.close(write_end)


def test_waiting_ends_in_time_and_at_once_after_a_signal(capfd: pytest.CaptureFixture[str]) -> None:
    with StopSignal() as stop:
        assert not stop.wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        began = time.monotonic()
        assert [stop.wait(60), stop.wait(60)] == [True, True]
        assert time.monotonic() - began < 30


def test_without_signals_waiting_only_takes_its_time() -> None:
    stop = NeverStop()
    assert not stop.wait(0.01)
    assert not stop()
