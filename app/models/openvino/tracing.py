"""A PyTorch model's towers to OpenVINO networks, compared with the model that they came from."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from app.models.agreement import TEXTS, cosines, sample_pictures
from app.models.base import ModelInputs
from app.models.hugging_face import quiet_transformers
from app.models.inputs import Preparation
from app.models.openvino.conversion import NotConvertible
from app.models.openvino.core import openvino
from app.models.openvino.pooling import pool_early
from app.models.openvino.towers import OpenVinoTowers
from app.models.torch_towers import TorchTowers

ALIKE: Final = 0.9999
"""Cosine to PyTorch's vectors that every vector of a converted model has."""

_one_conversion = threading.Lock()
"""Each changes the process's root logger and warning filters for its time: two at once would not put them back."""


def write_towers(model: Any, prepare: Preparation, folder: Path) -> None:
    """`text.xml`, `image.xml` and their weights. Raises NotConvertible, OSError."""
    model.eval()
    with quiet_transformers():
        for kind, inputs in (("text", prepare.texts(TEXTS)), ("image", prepare.images(sample_pictures()))):
            network = trace_tower(model, kind, inputs)
            pool_early(network)
            openvino.save_model(network, folder / f"{kind}.xml", compress_to_fp16=False)
    _compare(OpenVinoTowers.load(folder, "fp32"), TorchTowers(model, "cpu", "fp32"), prepare)


def _compare(converted: OpenVinoTowers, original: TorchTowers, prepare: Preparation) -> None:
    """Raise NotConvertible unless the vectors are the same, alone and in batches of other shapes."""
    texts = [prepare.texts(part) for part in (TEXTS, TEXTS[1:2], [" ".join(TEXTS)] * 2)]
    pictures = sample_pictures()
    images = [prepare.images(part) for part in (pictures, pictures[1:2], pictures[2:])]
    for kind, ours, theirs, batches in (
        ("text", converted.encode_texts, original.encode_texts, texts),
        ("image", converted.encode_images, original.encode_images, images),
    ):
        cosine = min(float(cosines(ours(inputs), theirs(inputs)).min()) for inputs in batches)
        if not cosine >= ALIKE:
            raise NotConvertible(f"its {kind} tower gives other vectors there (cosine {cosine:.4f})")


def trace_tower(model: Any, kind: str, inputs: ModelInputs) -> Any:
    """The text or image tower as an OpenVINO network whose inputs have their names. Raises NotConvertible."""
    names, example = list(inputs), tuple(torch.from_numpy(array) for array in inputs.values())

    class Tower(torch.nn.Module):
        """One tower, with its inputs in order."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
            output = getattr(self.model, f"get_{kind}_features")(**dict(zip(names, arrays, strict=True)))
            return output if isinstance(output, torch.Tensor) else output.pooler_output

    try:
        with (
            _one_conversion,
            torch.no_grad(),
            _root_logger_kept(),
            warnings.catch_warnings(action="ignore"),
        ):  # of branches that tracing fixes: see `_compare`
            network = openvino.convert_model(Tower().eval(), example_input=example)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotConvertible(f"its {kind} tower can't be converted ({lines[0]})") from error
    for node, name in zip(network.inputs, names, strict=True):
        node.get_tensor().set_names({name})
    return network


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """OpenVINO's converter silences the root logger, and leaves it so when it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers
