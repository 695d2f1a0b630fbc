"""A converted model's towers in 8-bit arithmetic, fitted to pictures, compared with those in fp32, and kept.

`<converted model>/int8/` holds `text.xml`, `image.xml` and their weights; its manifest says how well they do.
The fitting is post-training quantisation by NNCF: weights per channel, SmoothQuant (arXiv:2211.10438), bias correction.
"""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from app.errors import InvalidInput
from app.models import artifacts as kept
from app.models.agreement import cosines, overlap_of
from app.models.base import ModelInputs
from app.models.calibration import MOST_PICTURES, Calibration, calibration_texts
from app.models.hardware import has_int8_dot
from app.models.openvino.conversion import Converted
from app.models.openvino.core import CORE, openvino
from app.models.openvino.towers import OpenVinoTowers
from app.settings import ImageSettings
from app.types import Vectors

logger = logging.getLogger(__name__)

FORMAT: Final = 1

LEAST_PICTURES: Final = 50
"""Fewer say nothing of which ten are nearest."""

BATCH: Final = 8
TIMED_BATCHES: Final = 12


class NotQuantizable(Exception):
    """There is nothing to fit 8-bit arithmetic to, or it can't be fitted; the message says why."""


@dataclass(frozen=True)
class Quantized:
    """Towers in 8 bits, and how they compare with those in fp32 over the pictures and texts they were fitted to."""

    folder: Path
    source: str
    """Of the pictures, as in `Calibration`."""
    overlap: float
    """Share of the ten nearest pictures in fp32 that int8 names too: the mean over pictures or over texts, whichever
    is less."""
    agreement: float
    """Mean cosine of pictures' or of texts' vectors, whichever is less."""
    speedup: float
    """Pictures a second, over those in the arithmetic `against`."""
    against: str


def find_or_quantize(
    converted: Converted, calibration: Calibration | None, *, against: str, threads: int = 0
) -> Quantized:
    """What is kept, or made now; what was fitted to the samples is made again for the user's own pictures.

    Raises NotQuantizable.
    """
    folder = converted.folder / "int8"
    made_by = {"format": FORMAT, "openvino": openvino.__version__, "nncf": version("nncf"), "against": against}
    manifest = kept.find(folder, made_by)
    if manifest is None or (calibration and calibration.own and not manifest["own"]):
        if calibration is None:
            raise NotQuantizable("an index run has not fitted 8-bit arithmetic on this machine yet")
        fitting = _Fitting(converted, calibration, against, threads)
        try:
            manifest = kept.make(folder, made_by, fitting.fill)
        except OSError as error:
            raise NotQuantizable(f"8-bit arithmetic can't be kept in {folder} ({error})") from error
    if problem := manifest.get("problem"):
        raise NotQuantizable(problem)
    return Quantized(
        folder, manifest["source"], manifest["overlap"], manifest["agreement"], manifest["speedup"], against
    )


class _Fitting:
    """Makes the two towers."""

    def __init__(self, converted: Converted, calibration: Calibration, against: str, threads: int) -> None:
        self._converted, self._prepare, self._calibration = converted.folder, converted.prepare, calibration
        self._against, self._threads = against, threads

    def fill(self, folder: Path) -> dict[str, Any]:
        """Write the towers and say how they compare; where they can't be made only the reason remains."""
        said = {"source": self._calibration.source, "own": self._calibration.own}
        pictures, texts = self._pictures(), calibration_texts()
        if len(pictures) < LEAST_PICTURES:
            raise NotQuantizable(
                f"it takes {LEAST_PICTURES} pictures to fit 8-bit arithmetic, and of {self._calibration.source} only"
                f" {len(pictures)} can be read"
            )
        logger.info("fitting the model's 8-bit arithmetic to %d of %s, once", len(pictures), self._calibration.source)
        images = [self._prepare.images(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        tokens = [self._prepare.texts([text]) for text in texts]
        try:
            for kind, inputs in (("image", images), ("text", tokens)):
                openvino.save_model(self._quantize(kind, inputs), folder / f"{kind}.xml", compress_to_fp16=False)
        except (OSError, MemoryError) as error:
            raise NotQuantizable(f"8-bit arithmetic could not be fitted ({str(error) or 'out of memory'})") from error
        except Exception as error:  # noqa: BLE001 - NNCF and OpenVINO raise all sorts, and fp32 is there
            for path in folder.iterdir():
                path.unlink()
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return {**said, "problem": f"its {kind} tower can't be had in 8 bits ({lines[0]})"}
        return {**said, **self._compare(folder, images, tokens)}

    def _pictures(self) -> list[Image.Image]:
        found = []
        for data in self._calibration.files():
            try:
                found.append(self._prepare.images.read(data, ImageSettings()).image)
            except InvalidInput as error:
                logger.debug("not fitted to: %s", error)
            if len(found) == MOST_PICTURES:
                break
        return found

    def _quantize(self, kind: str, inputs: Sequence[ModelInputs]) -> Any:
        import nncf  # takes seconds, and is needed once

        nncf.set_log_level(logging.ERROR)
        fix = nncf.OverflowFix.DISABLE if has_int8_dot() else nncf.OverflowFix.ENABLE
        with redirect_stdout(StringIO()):  # its progress bars
            return nncf.quantize(
                CORE.read_model(self._converted / f"{kind}.xml"),
                nncf.Dataset(list(inputs)),
                preset=nncf.QuantizationPreset.MIXED,
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(inputs),
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
            )

    def _compare(self, folder: Path, images: Sequence[ModelInputs], tokens: Sequence[ModelInputs]) -> dict[str, Any]:
        whole, ours, rival = (
            OpenVinoTowers.load(each, precision, threads=self._threads)
            for each, precision in ((self._converted, "fp32"), (folder, "int8"), (self._converted, self._against))
        )
        (pictures, texts), (pictures8, texts8) = (
            (_unit(towers.encode_images, images), _unit(towers.encode_texts, tokens)) for towers in (whole, ours)
        )
        overlap = min(overlap_of(pictures, pictures8), overlap_of(pictures, pictures8, texts, texts8))
        agreement = min(cosines(pictures, pictures8).mean(), cosines(texts, texts8).mean())
        return {
            "overlap": round(overlap, 4),
            "agreement": round(float(agreement), 5),
            "speedup": round(_speedup(ours, rival, images), 2),
        }


def _unit(encode: Callable[[ModelInputs], Vectors], batches: Sequence[ModelInputs]) -> Vectors:
    rows = np.concatenate([encode(inputs) for inputs in batches])
    unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _speedup(ours: OpenVinoTowers, rival: OpenVinoTowers, batches: Sequence[ModelInputs]) -> float:
    """By how much `ours` is faster: the median over some batches, which both encode in turn."""
    ratios = []
    for inputs in batches[:TIMED_BATCHES]:
        took = []
        for towers in (rival, ours):
            began = time.perf_counter()
            towers.encode_images(inputs)
            took.append(time.perf_counter() - began)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)
