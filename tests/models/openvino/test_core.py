"""A process that made and deleted several OpenVINO objects still stops in order when a signal tells it to."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

STOPPED = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda number, frame: print("stopping in order"))
os.kill(os.getpid(), signal.SIGTERM)
"""

MODELS = """
from pathlib import Path
from app.models.choose import load_embedder
from app.settings import ModelSettings
first, second = (load_embedder(ModelSettings(name="demo", device="cpu")) for _ in range(2))
del first
del second
"""

OTHERS = """
import app.models.openvino.core
import openvino
first, second = openvino.Core(), openvino.Core()  # as NNCF makes them
first.get_property("CPU", "FULL_DEVICE_NAME"), second.get_property("CPU", "FULL_DEVICE_NAME")
del first
del second
"""


@pytest.mark.parametrize("before", [MODELS, OTHERS], ids=["models", "other users of OpenVINO"])
def test_a_signal_comes_through(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", before + STOPPED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "stopping in order\n"), done.stderr
