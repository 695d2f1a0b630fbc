"""Texts of many lengths to passes that carry little padding."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.models.base import ModelInputs

PASS_TOKENS: Final = 32
"""What a pass costs on a CPU however few tokens it has, in tokens: the time to read the weights."""

Rows: TypeAlias = NDArray[np.intp]


def by_length(inputs: ModelInputs) -> list[tuple[Rows, ModelInputs]]:
    """The passes that together cost least, each with the rows of `inputs` that are in it, without needless columns.

    Only what has a mask is cut: without one, padding to full length is part of what the model learned.
    """
    mask = inputs.get("attention_mask")
    if mask is None:
        return [(np.arange(len(next(iter(inputs.values())))), inputs)]
    lengths = mask.shape[1] - np.argmax(mask[:, ::-1] != 0, axis=1)
    order = np.argsort(lengths, kind="stable")
    groups = np.split(order, _cuts(lengths[order].tolist()))
    return [(rows, {name: array[rows, : lengths[rows[-1]]] for name, array in inputs.items()}) for rows in groups]


def _cuts(lengths: list[int]) -> list[int]:
    """Where to divide ascending lengths so that the sum of PASS_TOKENS + count x longest is least."""
    ends = [end for end in range(1, len(lengths) + 1) if end == len(lengths) or lengths[end] > lengths[end - 1]]
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}
    for end in ends:
        best[end] = min(
            (cost + PASS_TOKENS + (end - start) * lengths[end - 1], [*cuts, start])
            for start, (cost, cuts) in best.items()
        )
    return best[len(lengths)][1][1:]
