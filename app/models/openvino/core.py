"""OpenVINO with one `Core` in a process, and without telemetry: it would send usage reports to its makers.

A second `Core` would be dangerous. Each one saves the thread's signal stack when it is made and restores it when it is
deleted. When several are deleted in the order of their making, the last one restores a stack that no longer exists.
The next signal then ends the process with a segmentation fault.
"""

import sys
from pathlib import Path
from typing import Any, Final

from app.errors import first_line

# None makes the import fail, as if the telemetry package were not installed.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

CORE: Final = openvino.Core()

openvino.Core = lambda: CORE  # NNCF calls this for each of its steps

__all__ = ["CORE", "NotConvertible", "can_bfloat16", "openvino", "save_network"]


class NotConvertible(Exception):
    """OpenVINO can't run this model; the message says why."""


def save_network(network: Any, path: Path, *, half: bool = False) -> None:
    """Write the `openvino.Model` and its weights, in `half` precision if asked.

    Raises OSError when they can't be written, on a full disk for one.
    """
    try:
        openvino.save_model(network, path, compress_to_fp16=half)
    except RuntimeError as error:
        raise OSError(f"{path.name} can't be written ({first_line(error)})") from error


def can_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers itself (AVX-512 BF16, AMX)."""
    return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
