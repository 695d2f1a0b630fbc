"""Muon (arXiv:2502.16982), all matrices of one shape at a time.

`torch.optim.Muon` always works in bfloat16, one matrix after the other. A processor without bfloat16 must emulate it,
which takes eight times as long as the rest of the training step. Here `dtype` is float32 unless the processor has it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """For matrices only. Updates are scaled to the RMS of AdamW's updates, so both can use the same learning rates."""

    def __init__(
        self,
        matrices: Iterable[torch.Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                directions = [self._direction(matrix, group["momentum"]) for matrix in matrices]
                updates = orthogonalise(torch.stack(directions).to(self.dtype)).float()
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(updates), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)

    def _direction(self, matrix: torch.Tensor, momentum: float) -> torch.Tensor:
        """The gradient with Nesterov's momentum."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum"], momentum)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """(N, A, B) -> the nearest matrices with singular values around 1, by five Newton-Schulz steps."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    rows = matrices.mT if tall else matrices
    rows = rows / rows.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = rows @ rows.mT
        rows = a * rows + (b * gram + c * gram @ gram) @ rows
    return rows.mT if tall else rows
