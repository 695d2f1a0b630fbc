"""A dual encoder's towers, run by PyTorch. Importing this takes seconds, so callers import it when they need it."""

from collections.abc import Callable
from typing import Any

import torch

from app.models.base import ModelInputs
from app.types import Vectors


class TorchTowers:
    """`Towers` on the CPU or on CUDA, in float32 or bfloat16. Not thread-safe."""

    def __init__(self, network: Any, device: str, precision: str) -> None:
        """`precision` is fp32 or bf16."""
        self._network = network.to(device).eval()
        self._device = device
        self.precision = precision
        self.runtime = f"torch-{device}"
        self.agreement = 1.0 if precision == "fp32" else None
        if device == "cuda" and precision == "bf16":
            torch.set_float32_matmul_precision("high")  # TF32 for the operations that autocast leaves in float32

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        """As `Towers.encode_texts`."""
        return self._forward(self._network.get_text_features, inputs)

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        """As `Towers.encode_images`."""
        return self._forward(self._network.get_image_features, inputs)

    @torch.inference_mode()
    def _forward(self, tower: Callable[..., Any], inputs: ModelInputs) -> Vectors:
        on_device = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            output = tower(**on_device)
        features = output if isinstance(output, torch.Tensor) else output.pooler_output
        rows: Vectors = features.float().cpu().numpy()
        return rows
