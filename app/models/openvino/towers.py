"""A dual encoder's towers, run by OpenVINO on the CPU.

Texts of many lengths are divided into passes of similar length (`by_length`), so that short texts don't pay for the
padding of long ones. In int8 the passes have one of a few shapes (`Grid`), because each new one costs time.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.models.base import ModelInputs
from app.models.inputs import Padding
from app.models.openvino.core import CORE, can_bfloat16
from app.types import Vectors

HINTS: Final = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the arithmetics. The parts of an int8 network that stay in floats run in bf16 on able CPUs."""

PASS_TOKENS: Final = {"fp32": 32, "bf16": 80, "int8": 64}
"""The fixed cost of a pass on a CPU, expressed in tokens: the time that it takes to read the weights."""

NEED_GRID: Final = frozenset({"int8"})
"""Arithmetics for which OpenVINO makes kernels anew for each number of tokens in a pass. That takes as long as one to
five passes, so a service whose passes have ever new shapes gains little from them."""

COUNTS: Final = (*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
LENGTHS: Final = (8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
"""The numbers of texts in a pass, and of tokens in each text, where a grid is needed. Padding to them makes 7 % more
work for texts as people type them."""

Rows: TypeAlias = NDArray[np.intp]


class OpenVinoTowers:
    """`Towers` compiled for this CPU. Not thread-safe."""

    runtime = "openvino-cpu"

    def __init__(
        self, text: "_Network", image: "_Network", precision: str, agreement: float | None, grid: "Grid"
    ) -> None:
        self._text, self._image, self._grid = text, image, grid
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
        padding: Padding | None = None,
    ) -> "OpenVinoTowers":
        """The towers in `folder`: of `conversion` in fp32 or bf16, of `quantization` in int8.

        `for_batches` gives each core its own picture. Many pictures are then encoded faster, a single one slower.
        `padding` says how texts may be made longer.
        """
        hint = HINTS.get(precision) or ("bf16" if can_bfloat16() else "f32")
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        text = _Network(folder / "text.xml", options)
        image = _Network(folder / "image.xml", options | ({"PERFORMANCE_HINT": "THROUGHPUT"} if for_batches else {}))
        grid = Grid(COUNTS, LENGTHS, padding) if precision in NEED_GRID else ANY_SHAPE
        return cls(text, image, precision, agreement, grid)

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """As `Towers.encode_texts`."""
        passes = by_length(inputs, PASS_TOKENS[self.precision], self._grid)
        found = np.concatenate([self._text(part) for _, part in passes])
        vectors = np.empty((len(next(iter(inputs.values()))), found.shape[1]), found.dtype)
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


@dataclass(frozen=True)
class Grid:
    """The shapes that passes of texts may have."""

    counts: Sequence[int] = ()
    """Numbers of texts, ascending; empty: any."""
    lengths: Sequence[int] = ()
    """Numbers of tokens in each text, ascending; empty: any."""
    padding: Padding | None = None
    """How texts can be made longer; None keeps each length."""

    def rows(self, count: int) -> int:
        """The number of texts in the pass for `count` texts."""
        return _next(count, self.counts)

    def columns(self, length: int) -> int:
        """The number of tokens in each row of the pass for texts of up to `length` tokens."""
        if self.padding is None:
            return length
        return max(length, min(_next(length, self.lengths), self.padding.longest))

    def fill(self, rows: Rows) -> Rows:
        """The rows of a pass: the last one is repeated."""
        return np.pad(rows, (0, self.rows(len(rows)) - len(rows)), mode="edge")

    def cut(self, name: str, array: NDArray[Any], length: int) -> NDArray[Any]:
        """The input (N, T) of this name with the columns for texts of up to `length` tokens."""
        missing = self.columns(length) - array.shape[1]
        if missing <= 0 or self.padding is None:
            return array[:, : self.columns(length)]
        return np.pad(array, ((0, 0), (0, missing)), constant_values=self.padding.values[name])


def _next(number: int, sizes: Sequence[int]) -> int:
    """The next of the sizes; the number itself above the last."""
    return next(iter(sizes[bisect_left(sizes, number) :]), number)


ANY_SHAPE: Final = Grid()


def by_length(
    inputs: ModelInputs, pass_tokens: int = PASS_TOKENS["fp32"], grid: Grid = ANY_SHAPE
) -> list[tuple[Rows, ModelInputs]]:
    """The passes with the least total cost. Each has its rows of `inputs`, without columns that hold only padding.

    In a `grid` the last row of a pass may come several times. Inputs without a mask stay in one pass: their model was
    trained with texts padded to full length.
    """
    mask = inputs.get("attention_mask")
    if mask is None:
        rows = grid.fill(np.arange(len(next(iter(inputs.values())))))
        return [(rows, {name: array[rows] for name, array in inputs.items()})]
    lengths = mask.shape[1] - np.argmax(mask[:, ::-1] != 0, axis=1)
    order = np.argsort(lengths, kind="stable")
    passes = []
    for group in np.split(order, _cuts(lengths[order].tolist(), pass_tokens, grid)):
        rows, longest = grid.fill(group), int(lengths[group[-1]])
        passes.append((rows, {name: grid.cut(name, array[rows], longest) for name, array in inputs.items()}))
    return passes


def _cuts(lengths: list[int], pass_tokens: int, grid: Grid) -> list[int]:
    """Where to divide ascending lengths into groups so that the sum of `pass_tokens` + count x longest is least.

    Dynamic programming: `best[end]` has the least cost of the first `end` lengths, and the cuts that give it.
    """
    ends = [end for end in range(1, len(lengths) + 1) if end == len(lengths) or lengths[end] > lengths[end - 1]]
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for end in ends:
        longest = grid.columns(lengths[end - 1])
        best[end] = min(
            (cost + pass_tokens + grid.rows(end - start) * longest, [*cuts, start])
            for start, (cost, cuts) in best.items()
        )
    return best[len(lengths)][1][1:]
