"""A dual encoder's towers, run by OpenVINO on the CPU.

Texts of many lengths are divided into passes of similar length (`by_length`), so that short texts don't pay for the
padding of long ones.
"""

from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.models.base import ModelInputs
from app.models.openvino.core import CORE, can_bfloat16
from app.types import Vectors

HINTS: Final = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the arithmetics. The parts of an int8 network that stay in floats run in bf16 on able CPUs."""

PASS_TOKENS: Final = 32
"""The fixed cost of a pass on a CPU, expressed in tokens: the time that it takes to read the weights."""

Rows: TypeAlias = NDArray[np.intp]


class OpenVinoTowers:
    """`Towers` compiled for this CPU. Not thread-safe."""

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
        """The towers in `folder`: of `conversion` in fp32 or bf16, of `quantization` in int8.

        `for_batches` gives each core its own picture. Many pictures are then encoded faster, a single one slower.
        """
        hint = HINTS.get(precision) or ("bf16" if can_bfloat16() else "f32")
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        text = _Network(folder / "text.xml", options)
        image = _Network(folder / "image.xml", options | ({"PERFORMANCE_HINT": "THROUGHPUT"} if for_batches else {}))
        return cls(text, image, precision, agreement)

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """As `Towers.encode_texts`."""
        passes = by_length(inputs)
        found = np.concatenate([self._text(part) for _, part in passes])
        vectors = np.empty_like(found)
        vectors[np.concatenate([rows for rows, _ in passes])] = found
        return vectors

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """As `Towers.encode_images`."""
        return self._image(inputs)


class _Network:
    """One tower, compiled. It works on several parts of a batch at once; OpenVINO says how many are best."""

    def __init__(self, path: Path, options: dict[str, str]) -> None:
        network = CORE.compile_model(path, "CPU", options)
        parallel = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [network.create_infer_request() for _ in range(parallel)]

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


def by_length(inputs: ModelInputs) -> list[tuple[Rows, ModelInputs]]:
    """The passes with the least total cost. Each has its rows of `inputs`, without columns that hold only padding.

    Inputs without a mask stay in one pass: their model was trained with texts padded to full length.
    """
    mask = inputs.get("attention_mask")
    if mask is None:
        return [(np.arange(len(next(iter(inputs.values())))), inputs)]
    lengths = mask.shape[1] - np.argmax(mask[:, ::-1] != 0, axis=1)
    order = np.argsort(lengths, kind="stable")
    groups = np.split(order, _cuts(lengths[order].tolist()))
    return [(rows, {name: array[rows, : lengths[rows[-1]]] for name, array in inputs.items()}) for rows in groups]


def _cuts(lengths: list[int]) -> list[int]:
    """Where to divide ascending lengths into groups so that the sum of PASS_TOKENS + count x longest is least.

    Dynamic programming: `best[end]` has the least cost of the first `end` lengths, and the cuts that give it.
    """
    ends = [end for end in range(1, len(lengths) + 1) if end == len(lengths) or lengths[end] > lengths[end - 1]]
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for end in ends:
        best[end] = min(
            (cost + PASS_TOKENS + (end - start) * lengths[end - 1], [*cuts, start])
            for start, (cost, cuts) in best.items()
        )
    return best[len(lengths)][1][1:]
