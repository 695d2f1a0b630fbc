"""A converted model's towers in 8-bit arithmetic: fitted to pictures, compared with fp32, and kept.

`<converted model>/int8/` holds `text.xml`, `image.xml` and their weights; its manifest has the results of the
comparison. When the towers don't pay or can't be made, it holds the reason alone. The fitting is NNCF's post-training
quantisation: weights per channel, SmoothQuant (arXiv:2211.10438), bias correction.
"""

import json
import logging
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from app.errors import first_line
from app.models import artifacts, extra
from app.models.agreement import cosines, overlap_of
from app.models.base import ModelInputs
from app.models.calibration import Calibration, calibration_texts, spread
from app.models.hardware import has_int8_dot
from app.models.openvino.conversion import Converted
from app.models.openvino.core import CORE, openvino, save_network
from app.models.openvino.towers import OpenVinoTowers
from app.types import Vectors

logger = logging.getLogger(__name__)

INT8: Final = "int8"
"""The folder of the 8-bit towers in that of the converted model."""

FORMAT: Final = 2

LEAST_PICTURES: Final = 50
"""With fewer pictures, the comparison of the ten nearest has no meaning."""

BATCH: Final = 8
TIMED_BATCHES: Final = 12

LOOK_BATCHES: Final = 3
LOOK_TEXTS: Final = 16
"""A first look fits both towers to this few batches of pictures and texts."""

LOOK_ERROR: Final = 0.05
"""A fitting to few pictures finds at most this share of neighbours less than a whole fitting."""


class NotQuantizable(Exception):
    """8-bit arithmetic can't be fitted, or there are no pictures to fit it to; the message says why."""


class GivenUp(Exception):
    """A fitting for `auto` was not finished, because it would not pay; the message says why. That is kept."""


class FittingStopped(Exception):
    """The caller's `go_on` has answered no. Nothing was kept."""


@dataclass(frozen=True)
class Comparison:
    """How 8-bit towers compare with those in fp32 on pictures and texts."""

    source: str
    """As `Calibration.source`."""
    overlap: float
    """Share of the ten nearest pictures in fp32 that int8 finds too: the lowest of some means, over pictures as queries
    and over texts as queries, in an index made in int8, one made in floats, and one made in both by turns."""
    agreement: float
    """Mean cosine to the fp32 vectors, of the tower that agrees less."""
    speedup: float
    """Pictures a second in int8, divided by those in the arithmetic `against`."""
    text_speedup: float
    """The same for texts, one in each pass."""
    against: str


@dataclass(frozen=True)
class Quantized:
    """8-bit towers in a folder."""

    folder: Path
    comparison: Comparison


GoOn: TypeAlias = Callable[[], bool]
"""Whether a fitting may continue; it is asked once a second or so."""

WhyNot: TypeAlias = Callable[[Comparison, float], str | None]
"""Why 8-bit arithmetic does not pay; None when it does. The second value is how much better the overlap may be."""


def find_quantized(converted: Converted, *, against: str, own: bool = False) -> Quantized | None:
    """What an earlier fitting has kept; None when there is nothing, or with `own` nothing fitted to own pictures.

    Raises NotQuantizable when the earlier fitting has found that 8 bits are impossible, GivenUp.
    """
    folder = converted.folder / INT8
    manifest = artifacts.find(folder, _made_by(against))
    return None if manifest is None or (own and not manifest["own"]) else _quantized(folder, manifest)


def quantize(
    converted: Converted,
    calibration: Calibration,
    *,
    against: str,
    threads: int = 0,
    why_not: WhyNot | None = None,
    go_on: GoOn = lambda: True,
    max_s: float = math.inf,
) -> Quantized:
    """Fit 8-bit arithmetic to the pictures and keep the result, in place of an older one.

    With `why_not`, a fitting to a few pictures is tried first, and given up when that shows that it does not pay. A
    fitting that takes more than `max_s` seconds is given up too. Raises NotQuantizable, GivenUp, FittingStopped.
    """
    extra.require(extra.FITTING, "Fitting 8-bit arithmetic", "PRECISION=auto")
    ends_at = time.monotonic() + max_s

    def check() -> None:
        if not go_on():
            raise FittingStopped
        if time.monotonic() > ends_at:
            raise GivenUp(f"it takes more than {max_s / 60:.0f} minutes to fit on this machine")

    fitting = _Fitting(converted, calibration, against, threads, why_not, check)
    folder = converted.folder / INT8
    try:
        return _quantized(folder, artifacts.make(folder, _made_by(against), fitting.fill))
    except OSError as error:
        raise NotQuantizable(f"8-bit arithmetic can't be kept in {folder} ({error})") from error


def is_fitted(converted: Path, *, against: str) -> bool:
    """Whether the result of a fitting to own pictures is kept. Reads its manifest alone, so it does not see damage."""
    try:
        manifest = json.loads((converted / INT8 / artifacts.MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return _made_by(against).items() <= manifest.items() and bool(manifest.get("own"))


def _made_by(against: str) -> dict[str, Any]:
    return {"format": FORMAT, "openvino": openvino.__version__, "against": against}


def _quantized(folder: Path, manifest: Mapping[str, Any]) -> Quantized:
    if problem := manifest.get("problem"):
        raise NotQuantizable(problem)
    if reason := manifest.get("given_up"):
        raise GivenUp(reason)
    return Quantized(folder, Comparison(**{each.name: manifest[each.name] for each in fields(Comparison)}))


@dataclass(frozen=True)
class _Fitting:
    """Makes the two 8-bit towers and compares them."""

    converted: Converted
    calibration: Calibration
    against: str
    threads: int
    why_not: WhyNot | None
    check: Callable[[], None]
    """Raises what ends the fitting early."""

    def fill(self, folder: Path) -> dict[str, Any]:
        """Write the towers and return the comparison. When there are to be no towers, only the reason is returned.

        Raises FittingStopped, and NotQuantizable when a later attempt may succeed: for too few pictures, a full disk or
        full memory.
        """
        own = {"own": self.calibration.own}
        try:
            images, tokens = self._read()
            if self.why_not is not None:
                self._look(folder / "look", images, tokens)
            self._quantize(folder, images, tokens)
            return own | asdict(self._compare(folder, images, tokens))
        except (OSError, MemoryError) as error:
            raise NotQuantizable(f"8-bit arithmetic could not be fitted ({str(error) or 'out of memory'})") from error
        except (_TowerRefused, GivenUp) as error:
            for path in folder.iterdir():
                path.unlink()
            return own | {"given_up" if isinstance(error, GivenUp) else "problem": str(error)}

    def _look(self, folder: Path, images: Sequence[ModelInputs], tokens: Sequence[ModelInputs]) -> None:
        """Fit both towers to a few pictures and texts, and throw them away. Raises GivenUp when they don't pay."""
        folder.mkdir()
        try:
            self._quantize(folder, spread(images, LOOK_BATCHES), spread(tokens, LOOK_TEXTS))
            look = self._compare(folder, images, tokens)
        finally:
            shutil.rmtree(folder)
        if self.why_not is not None and (reason := self.why_not(look, LOOK_ERROR)):
            raise GivenUp(reason)

    def _read(self) -> tuple[list[ModelInputs], list[ModelInputs]]:
        """Pictures in batches, and single texts."""
        source, pictures = self.calibration.source, []
        prepare = self.converted.prepare
        for picture in self.calibration.pictures(prepare.images.read_picture):
            self.check()
            if picture is not None:
                pictures.append(prepare.images.shrink(picture))
        if len(pictures) < LEAST_PICTURES:
            raise NotQuantizable(
                f"it takes {LEAST_PICTURES} pictures to fit 8-bit arithmetic, and of {source} only {len(pictures)} can"
                " be read"
            )
        logger.info("Fitting the model's 8-bit arithmetic to %d of %s, once.", len(pictures), source)
        images = [prepare.images(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        return images, [prepare.texts([text]) for text in calibration_texts()]

    def _quantize(self, folder: Path, images: Sequence[ModelInputs], tokens: Sequence[ModelInputs]) -> None:
        for kind, inputs in (("image", images), ("text", tokens)):
            try:
                tower = quantize_tower(self.converted.folder / f"{kind}.xml", _Checked(inputs, self.check))
            except (OSError, MemoryError, FittingStopped, GivenUp):
                raise
            except Exception as error:  # NNCF and OpenVINO raise many kinds, and the fp32 towers work
                raise _TowerRefused(f"its {kind} tower can't be had in 8 bits ({first_line(error)})") from error
            save_network(tower, folder / f"{kind}.xml")

    def _compare(self, folder: Path, images: Sequence[ModelInputs], tokens: Sequence[ModelInputs]) -> Comparison:
        exact, ours, rival = (
            OpenVinoTowers.load(each, precision, threads=self.threads, padding=self.converted.prepare.padding)
            for each, precision in (
                (self.converted.folder, "fp32"),
                (folder, "int8"),
                (self.converted.folder, self.against),
            )
        )
        every, words = _Checked(images, self.check), _Checked(tokens, self.check)
        (pictures, texts), (pictures8, texts8) = (
            (_unit(towers.encode_images, every), _unit(towers.encode_texts, words)) for towers in (exact, ours)
        )
        by_turns = np.where(np.arange(len(pictures))[:, None] % 2, pictures8, pictures)
        overlap = min(
            *(overlap_of(pictures, rows, texts, texts8) for rows in (pictures, by_turns, pictures8)),
            *(overlap_of(pictures, rows) for rows in (by_turns, pictures8)),
        )
        agreement = min(cosines(pictures, pictures8).mean(), cosines(texts, texts8).mean())
        return Comparison(
            self.calibration.source,
            overlap=round(overlap, 4),
            agreement=round(float(agreement), 5),
            speedup=round(_speedup(ours.encode_images, rival.encode_images, spread(images, TIMED_BATCHES)), 2),
            text_speedup=round(_speedup(ours.encode_texts, rival.encode_texts, spread(tokens, TIMED_BATCHES)), 2),
            against=self.against,
        )


class _TowerRefused(Exception):
    """NNCF or OpenVINO can't make a tower in 8 bits; the message says which and why."""


@dataclass(frozen=True)
class _Checked:
    """Inputs with a check before each one, so that a fitting can be stopped between two passes."""

    inputs: Sequence[ModelInputs]
    check: Callable[[], None]

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[ModelInputs]:
        for each in self.inputs:
            self.check()
            yield each


def quantize_tower(path: Path, inputs: "Sequence[ModelInputs] | _Checked") -> Any:
    """The tower in the file as an `openvino.Model` in 8 bits, fitted to `inputs`. Raises what NNCF raises."""
    import nncf  # takes seconds to import, and only a fitting needs it

    logging.getLogger("nncf").setLevel(logging.ERROR)  # `nncf.set_log_level` would also change other code's handlers
    fix = nncf.OverflowFix.DISABLE if has_int8_dot() else nncf.OverflowFix.ENABLE
    with redirect_stdout(StringIO()):  # hides its progress bars
        return nncf.quantize(
            CORE.read_model(path),
            nncf.Dataset(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(inputs),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )


def _unit(encode: Callable[[ModelInputs], Vectors], batches: Iterable[ModelInputs]) -> Vectors:
    rows = np.concatenate([encode(inputs) for inputs in batches])
    unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _speedup(
    ours: Callable[[ModelInputs], Vectors], rival: Callable[[ModelInputs], Vectors], batches: Iterable[ModelInputs]
) -> float:
    """How many times as fast `ours` is: the median over some batches, which both encode in turn."""
    ratios = []
    for inputs in batches:
        took = []
        for encode in (rival, ours):
            began = time.perf_counter()
            encode(inputs)
            took.append(time.perf_counter() - began)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)
