"""A dual encoder's towers run by OpenVINO on the CPU."""

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from app.models.base import ModelInputs
from app.models.hardware import can_bfloat16
from app.models.openvino.core import CORE
from app.models.openvino.padding import by_length
from app.types import Vectors

HINTS: Final = {"fp32": "f32", "bf16": "bf16"}
"""Of the arithmetic; what 8-bit networks don't do in 8 bits they do in bfloat16 where the CPU has it."""


class OpenVinoTowers:
    """Networks compiled for this CPU, for batches and texts of any length. Not thread-safe."""

    runtime = "openvino-cpu"

    def __init__(self, text: "_Network", image: "_Network", precision: str, agreement: float | None) -> None:
        self._text, self._image = text, image
        self.precision = precision
        self.agreement = 1.0 if precision == "fp32" else agreement

    @classmethod
    def load(
        cls,
        folder: Path,
        precision: str,
        *,
        threads: int = 0,
        agreement: float | None = None,
        for_batches: bool = False,
    ) -> "OpenVinoTowers":
        """What `conversion` left in `folder`, in fp32 or bf16; or what `quantization` did, in int8.

        `for_batches` has many pictures encoded sooner and a single one later, as its cores take a picture each.
        """
        hint = HINTS.get(precision) or ("bf16" if can_bfloat16() else "f32")
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        text = _Network(folder / "text.xml", options)
        image = _Network(folder / "image.xml", options | ({"PERFORMANCE_HINT": "THROUGHPUT"} if for_batches else {}))
        return cls(text, image, precision, agreement)

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of tokens, of any length."""
        passes = by_length(inputs)
        found = np.concatenate([self._text(part) for _, part in passes])
        vectors = np.empty_like(found)
        vectors[np.concatenate([rows for rows, _ in passes])] = found
        return vectors

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of preprocessed pictures, of any length."""
        return self._image(inputs)


class _Network:
    """Compiled for this CPU, to work on as many parts of a batch at once as OpenVINO finds best. Not thread-safe."""

    def __init__(self, path: Path, options: dict[str, str]) -> None:
        network = CORE.compile_model(path, "CPU", options)
        together = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [network.create_infer_request() for _ in range(together)]

    def __call__(self, inputs: ModelInputs) -> Vectors:
        count = len(next(iter(inputs.values())))
        used = self._requests[:count]
        bounds = [count * number // len(used) for number in range(len(used) + 1)]
        for request, (start, end) in zip(used, pairwise(bounds), strict=True):
            request.start_async({name: array[start:end] for name, array in inputs.items()}, share_inputs=True)
        for request in used:
            request.wait()
        rows = [np.array(request.get_output_tensor(0).data, np.float32) for request in used]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)
