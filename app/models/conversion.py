"""A model's towers as OpenVINO networks on this disk: converted once, compared with PyTorch, and kept.

`<cache>/openvino/<fingerprint>/` holds `text.xml`, `image.xml`, their weights (`.bin`) and `manifest.json` with the
hashes of them all. What is damaged, or was made by another version, is made again.
"""

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

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

MANIFEST: Final = "manifest.json"

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
        if manifest := _read_manifest(folder, self._fingerprint):
            return _found(folder, manifest)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as workplace:
            if folder.exists():
                logger.warning("the converted model in %s is damaged or of another version: converted again", folder)
                folder.rename(Path(workplace, "damaged"))
            made = Path(workplace, "model")
            made.mkdir()
            with quiet_transformers():
                manifest = self._convert(made)
            _put(made, folder)
        return _found(folder, manifest)

    def _convert(self, folder: Path) -> dict[str, Any]:
        """Write the towers and their manifest; a model that can't be converted leaves only the reason."""
        logger.info("converting the model to OpenVINO, once")
        model = self._load().eval()
        manifest: dict[str, Any] = {
            "format": FORMAT, "openvino": openvino.__version__, "fingerprint": self._fingerprint,
        }  # fmt: skip
        try:
            for kind, inputs in (
                ("text", self._prepare.texts(TEXTS)),
                ("image", self._prepare.images(sample_pictures())),
            ):
                openvino.save_model(trace_tower(model, kind, inputs), folder / f"{kind}.xml", compress_to_fp16=False)
            self._compare(OpenVinoTowers.load(folder, "fp32"), TorchTowers(model, "cpu", "fp32"))
            manifest["files"] = {path.name: _hash(path) for path in sorted(folder.iterdir())}
        except NotConvertible as error:
            for path in folder.iterdir():
                path.unlink()
            manifest |= {"files": {}, "problem": str(error)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        return manifest

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


def _found(folder: Path, manifest: dict[str, Any]) -> Path:
    if problem := manifest.get("problem"):
        raise NotConvertible(problem)
    return folder


def _read_manifest(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """None when it, or a file it names, is missing, damaged or foreign."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        made_by = manifest["format"], manifest["openvino"], manifest["fingerprint"]
        whole = all(_hash(folder / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole and made_by == (FORMAT, openvino.__version__, fingerprint) else None


def _put(made: Path, folder: Path) -> None:
    """Move a whole folder into place, unless another process was first. Raises OSError."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
