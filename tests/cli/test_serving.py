"""The end of the service's process."""

import subprocess
import sys
import time
from pathlib import Path

from tests.support.processes import unmeasured

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, threading
from app.cli.serving import leave_calls_behind
threading.Thread(target=threading.Event().wait, args=[float(sys.argv[1])]).start()
leave_calls_behind()
print("the usual end")
"""


def end_with_a_call_of(seconds: float) -> tuple[str, float]:
    """What a process prints whose last call takes so long, and how long it takes from there."""
    command = [sys.executable, "-c", SCRIPT, str(seconds)]
    began = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=unmeasured(), timeout=60, check=True)
    return ended.stdout, time.monotonic() - began


def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    printed, took_s = end_with_a_call_of(50)
    assert printed == ""
    assert took_s < 45


def test_calls_that_end_soon_are_waited_for() -> None:
    assert end_with_a_call_of(0.1)[0] == "the usual end\n"
