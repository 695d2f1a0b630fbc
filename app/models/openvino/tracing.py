"""Converts the towers of a PyTorch network to OpenVINO, and compares their vectors with PyTorch's."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from app.errors import first_line
from app.models.agreement import TEXTS, cosines, sample_pictures
from app.models.base import ModelInputs
from app.models.hugging_face import quiet_transformers
from app.models.inputs import InputPreparer
from app.models.openvino.core import NotConvertible, openvino, save_network
from app.models.openvino.pooling import pool_early
from app.models.openvino.towers import OpenVinoTowers
from app.models.torch_towers import TorchTowers
from app.types import Vectors

ALIKE: Final = 0.9999
"""Least cosine between a vector of a converted tower and PyTorch's vector."""

_one_conversion = threading.Lock()
"""A conversion changes the root logger and the warning filters of the process and restores them at its end.

Two conversions at once would restore the wrong state."""


def write_towers(network: Any, prepare: InputPreparer, folder: Path, *, half: bool = False) -> None:
    """Write `text.xml`, `image.xml` and their weights, in `half` precision if asked. Raises NotConvertible, OSError."""
    network.eval()
    with quiet_transformers():
        for kind, inputs in (("text", prepare.texts(TEXTS)), ("image", prepare.images(sample_pictures()))):
            tower = trace_tower(network, kind, inputs)
            pool_early(tower)
            save_network(tower, folder / f"{kind}.xml", half=half)
    _compare(OpenVinoTowers.load(folder, "fp32"), TorchTowers(network, "cpu", "fp32"), prepare)


def _compare(converted: OpenVinoTowers, source: TorchTowers, prepare: InputPreparer) -> None:
    """Raise NotConvertible unless the vectors are alike, for single inputs and for batches of other shapes."""
    texts = [prepare.texts(part) for part in (TEXTS, TEXTS[1:2], [" ".join(TEXTS)] * 2)]
    pictures = sample_pictures()
    images = [prepare.images(part) for part in (pictures, pictures[1:2], pictures[2:])]
    for kind, ours, theirs, batches in (
        ("text", converted.encode_texts, source.encode_texts, texts),
        ("image", converted.encode_images, source.encode_images, images),
    ):
        cosine = min(_least_cosine(ours(inputs), theirs(inputs)) for inputs in batches)
        if not cosine >= ALIKE:
            raise NotConvertible(f"its {kind} tower gives other vectors there (cosine {cosine:.4f})")


def _least_cosine(ours: Vectors, theirs: Vectors) -> float:
    """Over the texts or pictures of which PyTorch makes a vector. Some models make none of an empty text."""
    made = np.isfinite(theirs).all(axis=1) & theirs.any(axis=1)
    return float(cosines(ours[made], theirs[made]).min())


def trace_tower(network: Any, kind: str, inputs: ModelInputs) -> Any:
    """The `text` or `image` tower as an `openvino.Model` with named inputs. Raises NotConvertible.

    `inputs` are an example to trace with.
    """
    names = list(inputs)

    class Tower(torch.nn.Module):
        """One tower that takes its inputs by position, as the tracer needs them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
            output = getattr(self.network, f"get_{kind}_features")(**dict(zip(names, arrays, strict=True)))
            return output if isinstance(output, torch.Tensor) else output.pooler_output

    return trace(Tower(), inputs, f"its {kind} tower")


def trace(module: torch.nn.Module, inputs: ModelInputs, what: str) -> Any:
    """The module as an `openvino.Model` with named inputs of any size. Raises NotConvertible.

    `inputs` are an example to trace with, in the order of the module's own; `what` is for messages.
    """
    example = tuple(torch.from_numpy(array) for array in inputs.values())
    try:
        with (
            _one_conversion,
            torch.no_grad(),
            _root_logger_kept(),
            warnings.catch_warnings(
                action="ignore"
            ),  # about branches that tracing makes fixed; what is converted is compared
        ):
            model = openvino.convert_model(module.eval(), example_input=example)
    except Exception as error:
        raise NotConvertible(f"{what} can't be converted ({first_line(error)})") from error
    for node, name in zip(model.inputs, inputs, strict=True):
        node.get_tensor().set_names({name})
    return model


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Restores the root logger afterwards. OpenVINO's converter silences it, and leaves it silent when it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers
