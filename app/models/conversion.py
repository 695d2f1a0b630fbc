"""A model's towers as OpenVINO networks on this disk: converted once, compared with PyTorch, and kept.

`<cache>/openvino/<fingerprint>/` holds `text.xml`, `image.xml` and their weights (`.bin`).
What is damaged, or was made by another version, is made again.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from app.models import kept
from app.models.base import ModelInputs
from app.models.openvino_towers import OpenVinoTowers
from app.models.preparation import Preparation
from app.models.quiet import quiet_transformers
from app.models.silent import openvino
from app.models.torch_towers import TorchTowers
from app.types import Vectors

logger = logging.getLogger(__name__)

FORMAT: Final = 1

ALIKE: Final = 0.9999
"""Cosine to PyTorch's vectors that every vector of a converted model has."""

TEXTS: Final = ("a photo of a dog", "red", "two children playing football in the park, black and white, at night", "")


class NotConvertible(Exception):
    """OpenVINO can't run this model; the message says why."""


class Converter:
    """Finds a model's towers in the cache, or puts them there."""

    def __init__(self, fingerprint: str, prepare: Preparation, load: Callable[[], Any]) -> None:
        """`load` answers the PyTorch model; it is only asked when there is something to convert."""
        self._fingerprint, self._prepare, self._load = fingerprint, prepare, load

    def find_or_convert(self, cache: Path) -> Path:
        """The folder of the converted towers. Raises NotConvertible, OSError, and what `load` raises."""
        folder = cache / "openvino" / self._fingerprint
        made_by = {"format": FORMAT, "openvino": openvino.__version__, "fingerprint": self._fingerprint}
        manifest = kept.find(folder, made_by)
        if manifest is None:
            if folder.exists():
                logger.warning("the converted model in %s is damaged or of another version: converted again", folder)
            with quiet_transformers():
                manifest = kept.make(folder, made_by, self._convert)
        if problem := manifest.get("problem"):
            raise NotConvertible(problem)
        return folder

    def _convert(self, folder: Path) -> dict[str, Any]:
        """Write the towers; of a model that can't be converted only the reason remains."""
        logger.info("converting the model to OpenVINO, once")
        model = self._load().eval()
        try:
            for kind, inputs in (
                ("text", self._prepare.texts(TEXTS)),
                ("image", self._prepare.images(sample_pictures())),
            ):
                openvino.save_model(trace_tower(model, kind, inputs), folder / f"{kind}.xml", compress_to_fp16=False)
            self._compare(OpenVinoTowers.load(folder, "fp32"), TorchTowers(model, "cpu", "fp32"))
        except NotConvertible as error:
            for path in folder.iterdir():
                path.unlink()
            return {"problem": str(error)}
        return {}

    def _compare(self, converted: OpenVinoTowers, original: TorchTowers) -> None:
        """Raise NotConvertible unless the vectors are the same, alone and in batches of other shapes."""
        texts = [self._prepare.texts(part) for part in (TEXTS, TEXTS[1:2], [" ".join(TEXTS)] * 2)]
        pictures = sample_pictures()
        images = [self._prepare.images(part) for part in (pictures, pictures[1:2], pictures[2:])]
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
            torch.no_grad(),
            warnings.catch_warnings(action="ignore"),
        ):  # of branches that tracing fixes: see `_compare`
            network = openvino.convert_model(Tower().eval(), example_input=example)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise NotConvertible(f"its {kind} tower can't be converted ({lines[0]})") from error
    for node, name in zip(network.inputs, names, strict=True):
        node.get_tensor().set_names({name})
    return network


def sample_pictures() -> list[Image.Image]:
    """Smooth and noisy pictures of several shapes."""
    random = np.random.default_rng(0)
    pictures = []
    for height, width in ((300, 400), (240, 135), (224, 224), (90, 200)):
        coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
        noise = random.integers(-20, 21, (height, width, 3))
        pictures.append(Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)))
    return pictures


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """(N,) between the rows of both."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values: Vectors = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return values
