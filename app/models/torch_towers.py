"""A dual encoder's towers run by PyTorch."""

from collections.abc import Callable
from typing import Any

import torch

from app.models.base import ModelInputs
from app.types import Vectors


class TorchTowers:
    """On the CPU or on CUDA, in float32 or bfloat16. Not thread-safe."""

    def __init__(self, model: Any, device: str, precision: str) -> None:
        """`precision`: fp32 or bf16."""
        self._model = model.to(device).eval()
        self._device = device
        self.precision = precision
        self.runtime = f"torch-{device}"
        self.agreement = 1.0 if precision == "fp32" else None
        if device == "cuda" and precision == "bf16":
            torch.set_float32_matmul_precision("high")  # TF32 for what autocast leaves in float32

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of tokens, of any length."""
        return self._forward(self._model.get_text_features, inputs)

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """(N, D) float32 of preprocessed pictures, of any length."""
        return self._forward(self._model.get_image_features, inputs)

    @torch.inference_mode()
    def _forward(self, tower: Callable[..., Any], inputs: ModelInputs) -> Vectors:
        on_device = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            output = tower(**on_device)
        features = output if isinstance(output, torch.Tensor) else output.pooler_output
        rows: Vectors = features.float().cpu().numpy()
        return rows
