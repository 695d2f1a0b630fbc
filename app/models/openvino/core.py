"""OpenVINO with one `Core` in a process, and without the messages to its makers that it would otherwise send.

A `Core` gives the thread that makes it a stack for signal handlers, and the one before back when it goes. Of several,
the last to go gives back one that has gone already, and the next signal ends the process with a segmentation fault.
"""

import sys
from typing import Final

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # its import then fails, as if not installed

import openvino  # noqa: E402

CORE: Final = openvino.Core()

openvino.Core = lambda: CORE  # for NNCF, which makes one for each thing it does

__all__ = ["CORE", "openvino"]
