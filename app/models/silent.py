"""OpenVINO without the messages to its makers that importing and using it would otherwise send."""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # its import then fails, as if not installed

import openvino  # noqa: E402

__all__ = ["openvino"]
