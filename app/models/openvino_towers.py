"""A dual encoder's towers run by OpenVINO on the CPU."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from app.models.base import ModelInputs
from app.models.silent import openvino
from app.types import Vectors

HINTS: Final = {"fp32": "f32", "bf16": "bf16"}
"""Of the arithmetic; what 8-bit networks don't do in 8 bits they do in bfloat16 where the CPU has it."""


class OpenVinoTowers:
    """Networks compiled for this CPU, for batches and texts of any length. Not thread-safe."""

    runtime = "openvino-cpu"

    def __init__(self, text: Any, image: Any, precision: str, agreement: float | None) -> None:
        self._text, self._image = text, image
        self.precision = precision
        self.agreement = 1.0 if precision == "fp32" else agreement

    @classmethod
    def load(
        cls, folder: Path, precision: str, *, threads: int = 0, agreement: float | None = None
    ) -> "OpenVinoTowers":
        """What `conversion` left in `folder`, in fp32 or bf16; or what `quantization` did, in int8."""
        hint = HINTS.get(precision) or ("bf16" if can_bfloat16() else "f32")
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        core = openvino.Core()
        text, image = (core.compile_model(folder / f"{kind}.xml", "CPU", options) for kind in ("text", "image"))
        return cls(text, image, precision, agreement)

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of tokens, of any length."""
        return _forward(self._text, inputs)

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of preprocessed pictures, of any length."""
        return _forward(self._image, inputs)


def can_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself (AVX-512 BF16, AMX)."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _forward(network: Any, inputs: ModelInputs) -> Vectors:
    rows: Vectors = np.array(network(inputs, share_inputs=True)[0], np.float32)
    return rows
