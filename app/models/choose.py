"""Chooses the runtime and the arithmetic for a model on this machine, and logs the reason.

`load_embedder` takes PyTorch on CUDA, else OpenVINO; a model that OpenVINO can't run stays on PyTorch. On OpenVINO the
arithmetic is int8 or bf16 when the CPU has fast instructions for it and the vectors keep their quality, else fp32.
"""

import json
import logging
from contextlib import suppress
from typing import Final

from app.errors import ModelUnavailable
from app.models import extra
from app.models.agreement import TEXTS, cosines, sample_pictures
from app.models.calibration import Calibration
from app.models.checkpoint import CONVERTED, Checkpoint, find_checkpoint
from app.models.embedder import DualEncoder
from app.models.hardware import choose_device, has_int8_dot
from app.models.hugging_face import SourceModel
from app.models.openvino.conversion import Converted, Converter
from app.models.openvino.core import NotConvertible, can_bfloat16
from app.models.openvino.quantization import (
    Comparison,
    FittingStopped,
    GivenUp,
    GoOn,
    NotQuantizable,
    Quantized,
    find_quantized,
    is_fitted,
    quantize,
)
from app.models.openvino.towers import OpenVinoTowers
from app.settings import ModelSettings

logger = logging.getLogger(__name__)

KEEPS_QUALITY: Final = 0.995
"""bfloat16 is taken from this mean cosine to the fp32 vectors on."""

KEEPS_NEIGHBOURS: Final = 0.95
"""int8 is taken when it finds at least this share of the ten nearest pictures that fp32 finds."""

FASTER: Final = 1.1
"""int8 is taken when it encodes pictures at least this many times as fast as the floating-point arithmetic."""

NOT_SLOWER: Final = 0.95
"""And texts at least this many times as fast: 1, but for errors of measurement."""

MEASURED: Final = "measured.json"
"""A file beside the converted model: the mean cosine between fp32 vectors and those in other arithmetic."""


def load_embedder(
    settings: ModelSettings, calibration: Calibration | None = None, *, for_batches: bool = False
) -> DualEncoder:
    """The model that the settings name. Raises ModelUnavailable saying what was tried and what to set.

    `calibration` is for PRECISION=int8: what the cache lacks is fitted to it. `auto` takes only what `fit_int8` has
    fitted before. `for_batches` as in `OpenVinoTowers.load`.
    """
    extra.check_installed(settings)
    checkpoint = find_checkpoint(settings)
    checkpoint.check()
    source = SourceModel(checkpoint)
    device = choose_device(settings.device)
    if settings.runtime == "torch" or (settings.runtime == "auto" and device == "cuda"):
        return _on_torch(settings, checkpoint, source, device)
    if device == "cuda":
        raise ModelUnavailable("MODEL_RUNTIME=openvino runs on the CPU. Set MODEL_DEVICE=cpu, or MODEL_RUNTIME=auto.")
    try:
        converter = Converter(checkpoint, source)
        converted = converter.find_or_convert(settings.cache.expanduser())
    except NotConvertible as error:
        if settings.runtime == "openvino":
            raise checkpoint.unavailable(f"MODEL_RUNTIME=openvino, but {error}") from error
        logger.warning("%s runs on PyTorch, not on the faster OpenVINO: %s", checkpoint.name, error)
        return _on_torch(settings, checkpoint, source, device)
    except OSError as error:
        raise ModelUnavailable(
            f"The model {checkpoint.name} can't be converted to OpenVINO in MODEL_CACHE={settings.cache}: {error}. Set"
            " MODEL_CACHE to a folder that can be written and has room, or MODEL_RUNTIME=torch."
        ) from error
    towers = _load_openvino(settings, checkpoint, converted, calibration, for_batches)
    return DualEncoder(checkpoint, converted.prepare, towers)


def _on_torch(settings: ModelSettings, checkpoint: Checkpoint, source: SourceModel, device: str) -> DualEncoder:
    extra.require(extra.NETWORK, f"The model {checkpoint.name}, which OpenVINO does not run,", "MODEL=demo")
    import torch

    from app.models.torch_towers import TorchTowers

    if settings.threads:
        torch.set_num_threads(settings.threads)
    precision = _torch_precision(settings.precision, device)
    return DualEncoder(checkpoint, source.prepare, TorchTowers(source.load_network(), device, precision))


def _torch_precision(wanted: str, device: str) -> str:
    """fp32 or bf16. Raises ModelUnavailable when int8 is wanted."""
    if wanted == "int8":
        raise ModelUnavailable(
            "PRECISION=int8 is the arithmetic of OpenVINO on a CPU, and this model runs on PyTorch. Set PRECISION=auto."
        )
    if wanted == "auto":
        import torch

        able = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if able else "fp32"
    return wanted


def _load_openvino(
    settings: ModelSettings,
    checkpoint: Checkpoint,
    converted: Converted,
    calibration: Calibration | None,
    for_batches: bool,
) -> OpenVinoTowers:
    """The towers in the arithmetic that is asked for, or for `auto` in the fastest that keeps the quality."""
    precision, agreement = _float_arithmetic(settings.precision, checkpoint, converted)
    quantized = None
    if settings.precision == "int8":
        quantized = _asked_int8(settings, checkpoint, converted, calibration, against=precision)
    elif settings.precision == "auto" and has_int8_dot():
        quantized = _kept_int8(checkpoint, converted, against=precision)
    folder = converted.folder
    if quantized is not None:
        folder, precision, agreement = quantized.folder, "int8", quantized.comparison.agreement
    return OpenVinoTowers.load(
        folder,
        precision,
        threads=settings.threads,
        agreement=agreement,
        for_batches=for_batches,
        padding=converted.prepare.padding,
    )


def _float_arithmetic(wanted: str, checkpoint: Checkpoint, converted: Converted) -> tuple[str, float | None]:
    """fp32 or bf16, and its agreement. Raises ModelUnavailable when bf16 is wanted and the CPU lacks it."""
    able = can_bfloat16()
    if wanted == "bf16" and not able:
        raise ModelUnavailable(
            "PRECISION=bf16, but this CPU does not multiply bfloat16 (it has neither AVX-512 BF16 nor AMX). Set"
            " PRECISION=auto."
        )
    if wanted == "fp32" or not able:
        return "fp32", None
    is_first = not (converted.folder / MEASURED).is_file()
    agreement = _agreement_of("bf16", converted)
    if wanted != "bf16" and agreement < KEEPS_QUALITY:
        logger.log(
            logging.INFO if is_first else logging.DEBUG,
            "%s runs in fp32: in bf16 its vectors would stray too far (mean cosine %.4f, at least %.3f wanted).",
            checkpoint.name, agreement, KEEPS_QUALITY,
        )  # fmt: skip
        return "fp32", None
    return "bf16", agreement


def _asked_int8(
    settings: ModelSettings,
    checkpoint: Checkpoint,
    converted: Converted,
    calibration: Calibration | None,
    *,
    against: str,
) -> Quantized:
    """The 8-bit towers, fitted now if they were not. Raises ModelUnavailable when they can't be had."""
    try:
        with suppress(GivenUp):
            own = calibration is not None and calibration.own
            if found := find_quantized(converted, against=against, own=own):
                return found
        if calibration is None:
            raise NotQuantizable("an index run has not fitted 8-bit arithmetic on this machine yet")
        found = quantize(converted, calibration, against=against, threads=settings.threads)
    except NotQuantizable as error:
        raise ModelUnavailable(f"PRECISION=int8, but {error}. Set PRECISION=auto.") from error
    if reason := why_not_int8(found.comparison):
        logger.warning("%s runs in int8, as PRECISION=int8 asks, but %s.", checkpoint.name, reason)
    return found


def _kept_int8(checkpoint: Checkpoint, converted: Converted, *, against: str) -> Quantized | None:
    """The 8-bit towers when an earlier fitting has kept them and they are better than `against`; else None."""
    try:
        found = find_quantized(converted, against=against)
    except (NotQuantizable, GivenUp) as error:
        logger.debug("%s runs in %s, not in int8: %s", checkpoint.name, against, error)
        return None
    if found is None:
        logger.debug("%s runs in %s: no index run has fitted 8-bit arithmetic yet", checkpoint.name, against)
    elif reason := why_not_int8(found.comparison):
        logger.debug("%s runs in %s, not in int8: %s", checkpoint.name, against, reason)
        return None
    return found


def why_not_int8(found: Comparison, better: float = 0.0) -> str | None:
    """Why `auto` does not take int8; None when it does. The overlap may be `better` by this than it was measured."""
    if found.overlap + better < KEEPS_NEIGHBOURS:
        return (
            f"it finds {100 * found.overlap:.1f} % of the ten nearest pictures that fp32 finds, measured on"
            f" {found.source}; at least {100 * KEEPS_NEIGHBOURS:.0f} % are wanted"
        )
    if found.speedup < FASTER:
        return f"it encodes pictures only {found.speedup:.2f} times as fast as {found.against}"
    if found.text_speedup < NOT_SLOWER:
        return f"it encodes texts {found.text_speedup:.2f} times as fast as {found.against}, so searches would wait"
    return None


def can_fit_int8(settings: ModelSettings, fingerprint: str) -> bool:
    """Whether `fit_int8` would do anything for this model. Reads small files alone."""
    if settings.precision != "auto" or settings.runtime == "torch" or not has_int8_dot():
        return False
    folder = settings.cache.expanduser() / CONVERTED / fingerprint
    if not (folder / "image.xml").is_file():
        return False
    if not extra.is_installed(extra.FITTING):
        logger.debug("8-bit arithmetic is not fitted: NNCF is not installed (pip install 'image2search[models]')")
        return False
    return not any(is_fitted(folder, against=floats) for floats in ("fp32", "bf16"))


def fit_int8(settings: ModelSettings, calibration: Calibration, *, go_on: GoOn, max_s: float) -> None:
    """Fit 8-bit arithmetic, which `auto` then takes at the next load if it pays. Logs once what came of it.

    Stops without a result when `go_on` answers no. `max_s` as in `quantize`. Raises ModelUnavailable.
    """
    checkpoint = find_checkpoint(settings)
    try:
        converted = Converter(checkpoint, SourceModel(checkpoint)).find_or_convert(settings.cache.expanduser())
        against, _ = _float_arithmetic("auto", checkpoint, converted)
        found = quantize(
            converted, calibration, against=against, threads=settings.threads, why_not=why_not_int8, go_on=go_on,
            max_s=max_s,
        ).comparison  # fmt: skip
        reason = why_not_int8(found)
    except FittingStopped:
        logger.info("The fitting was stopped; a later index run fits 8-bit arithmetic.")
        return
    except GivenUp as error:
        reason = str(error)
    except (NotConvertible, NotQuantizable, OSError) as error:
        logger.info("%s does not run in int8: %s.", checkpoint.name, error)
        return
    if reason:
        logger.info("%s stays in %s: in int8 %s. (PRECISION=int8 uses int8 anyway.)", checkpoint.name, against, reason)
    else:
        logger.info(
            "From the next start on %s runs in int8: pictures %.1f and texts %.1f times as fast as in %s, %.1f %% of"
            " the nearest pictures the same. (PRECISION=%s prevents it.)",
            checkpoint.name, found.speedup, found.text_speedup, against, 100 * found.overlap, against,
        )  # fmt: skip


def _agreement_of(precision: str, converted: Converted) -> float:
    """Mean cosine between this arithmetic's vectors and those in fp32, of the tower that agrees less.

    Measured once; the result is kept beside the model.
    """
    folder, prepare = converted.folder, converted.prepare
    path = folder / MEASURED
    try:
        return float(json.loads(path.read_bytes())[precision])
    except (OSError, ValueError, KeyError, TypeError):
        logger.debug("nothing measured in %s yet", folder)
    other, exact = (OpenVinoTowers.load(folder, each) for each in (precision, "fp32"))
    texts = prepare.texts([text for text in TEXTS if text])  # some models make no vector of an empty text
    images = prepare.images(sample_pictures())
    of_texts = cosines(other.encode_texts(texts), exact.encode_texts(texts))
    of_images = cosines(other.encode_images(images), exact.encode_images(images))
    agreement = round(float(min(of_texts.mean(), of_images.mean())), 5)
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps({precision: agreement}))
        part.replace(path)
    except OSError as error:
        logger.warning("The agreement of %s can't be kept and is measured again next time: %s", precision, error)
    return agreement
