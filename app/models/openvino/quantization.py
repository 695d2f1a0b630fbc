"""A converted model's towers in 8-bit arithmetic: fitted to pictures, compared with fp32, and kept.

`<converted model>/int8/` holds `text.xml`, `image.xml` and their weights; its manifest has the results of the
comparison. The fitting is NNCF's post-training quantisation: weights per channel, SmoothQuant (arXiv:2211.10438), bias
correction.
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

from app.errors import InvalidInput, first_line
from app.models import artifacts
from app.models.agreement import cosines, overlap_of
from app.models.base import ModelInputs
from app.models.calibration import MOST_PICTURES, Calibration, calibration_texts
from app.models.hardware import has_int8_dot
from app.models.openvino.conversion import Converted
from app.models.openvino.core import CORE, openvino, save_network
from app.models.openvino.towers import OpenVinoTowers
from app.settings import ImageSettings
from app.types import Vectors

logger = logging.getLogger(__name__)

FORMAT: Final = 1

LEAST_PICTURES: Final = 50
"""With fewer pictures, the comparison of the ten nearest has no meaning."""

BATCH: Final = 8
TIMED_BATCHES: Final = 12


class NotQuantizable(Exception):
    """8-bit arithmetic can't be fitted, or there are no pictures to fit it to; the message says why."""


@dataclass(frozen=True)
class Quantized:
    """8-bit towers, and how they compare with those in fp32 on the pictures and texts that they were fitted to."""

    folder: Path
    source: str
    """As `Calibration.source`."""
    overlap: float
    """Share of the ten nearest pictures in fp32 that int8 finds too: the lower of two means, over pictures as queries
    and over texts as queries."""
    agreement: float
    """Mean cosine to the fp32 vectors, of the tower that agrees less."""
    speedup: float
    """Pictures a second in int8, divided by those in the arithmetic `against`."""
    against: str


def find_or_quantize(
    converted: Converted, calibration: Calibration | None, *, against: str, threads: int = 0
) -> Quantized:
    """The kept 8-bit towers; new ones when none are kept, or when only the new pictures are the user's own.

    Raises NotQuantizable.
    """
    folder = converted.folder / "int8"
    made_by = {"format": FORMAT, "openvino": openvino.__version__, "nncf": version("nncf"), "against": against}
    manifest = artifacts.find(folder, made_by)
    if manifest is None or (calibration and calibration.own and not manifest["own"]):
        if calibration is None:
            raise NotQuantizable("an index run has not fitted 8-bit arithmetic on this machine yet")
        fitting = _Fitting(converted, calibration, against, threads)
        try:
            manifest = artifacts.make(folder, made_by, fitting.fill)
        except OSError as error:
            raise NotQuantizable(f"8-bit arithmetic can't be kept in {folder} ({error})") from error
    if problem := manifest.get("problem"):
        raise NotQuantizable(problem)
    return Quantized(
        folder, manifest["source"], manifest["overlap"], manifest["agreement"], manifest["speedup"], against
    )


class _Fitting:
    """Makes the two 8-bit towers and compares them."""

    def __init__(self, converted: Converted, calibration: Calibration, against: str, threads: int) -> None:
        self._converted, self._prepare, self._calibration = converted.folder, converted.prepare, calibration
        self._against, self._threads = against, threads

    def fill(self, folder: Path) -> dict[str, Any]:
        """Write the towers and return the comparison. When a tower can't be made, only the reason is returned.

        Raises NotQuantizable when a later attempt may succeed: for too few pictures, a full disk or full memory.
        """
        source = {"source": self._calibration.source, "own": self._calibration.own}
        pictures, texts = self._read_pictures(), calibration_texts()
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
                tower = quantize_tower(self._converted / f"{kind}.xml", inputs)
                save_network(tower, folder / f"{kind}.xml")
        except (OSError, MemoryError) as error:
            raise NotQuantizable(f"8-bit arithmetic could not be fitted ({str(error) or 'out of memory'})") from error
        except Exception as error:  # noqa: BLE001 - NNCF and OpenVINO raise many kinds, and the fp32 towers work
            for path in folder.iterdir():
                path.unlink()
            return {**source, "problem": f"its {kind} tower can't be had in 8 bits ({first_line(error)})"}
        return {**source, **self._compare(folder, images, tokens)}

    def _read_pictures(self) -> list[Image.Image]:
        found = []
        for data in self._calibration.files():
            try:
                found.append(self._prepare.images.read_picture(data, ImageSettings()).image)
            except InvalidInput as error:
                logger.debug("a picture is left out of the fitting: %s", error)
            if len(found) == MOST_PICTURES:
                break
        return found

    def _compare(self, folder: Path, images: Sequence[ModelInputs], tokens: Sequence[ModelInputs]) -> dict[str, Any]:
        exact, ours, rival = (
            OpenVinoTowers.load(each, precision, threads=self._threads)
            for each, precision in ((self._converted, "fp32"), (folder, "int8"), (self._converted, self._against))
        )
        (pictures, texts), (pictures8, texts8) = (
            (_unit(towers.encode_images, images), _unit(towers.encode_texts, tokens)) for towers in (exact, ours)
        )
        overlap = min(overlap_of(pictures, pictures8), overlap_of(pictures, pictures8, texts, texts8))
        agreement = min(cosines(pictures, pictures8).mean(), cosines(texts, texts8).mean())
        return {
            "overlap": round(overlap, 4),
            "agreement": round(float(agreement), 5),
            "speedup": round(_speedup(ours, rival, images), 2),
        }


def quantize_tower(path: Path, inputs: Sequence[ModelInputs]) -> Any:
    """The tower in the file as an `openvino.Model` in 8 bits, fitted to `inputs`. Raises what NNCF raises."""
    import nncf  # takes seconds to import, and only a fitting needs it

    logging.getLogger("nncf").setLevel(logging.ERROR)  # `nncf.set_log_level` would also change other code's handlers
    fix = nncf.OverflowFix.DISABLE if has_int8_dot() else nncf.OverflowFix.ENABLE
    with redirect_stdout(StringIO()):  # hides its progress bars
        return nncf.quantize(
            CORE.read_model(path),
            nncf.Dataset(list(inputs)),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(inputs),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )


def _unit(encode: Callable[[ModelInputs], Vectors], batches: Sequence[ModelInputs]) -> Vectors:
    rows = np.concatenate([encode(inputs) for inputs in batches])
    unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _speedup(ours: OpenVinoTowers, rival: OpenVinoTowers, batches: Sequence[ModelInputs]) -> float:
    """How many times as fast `ours` is: the median over some batches, which both encode in turn."""
    ratios = []
    for inputs in batches[:TIMED_BATCHES]:
        took = []
        for towers in (rival, ours):
            began = time.perf_counter()
            towers.encode_images(inputs)
            took.append(time.perf_counter() - began)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)
