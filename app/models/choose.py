"""Chooses the runtime and the arithmetic for a model on this machine, and logs the reason.

`load_embedder` takes PyTorch on CUDA, else OpenVINO; a model that OpenVINO can't run stays on PyTorch. On OpenVINO the
arithmetic is int8 or bf16 when the CPU has fast instructions for it and the vectors keep their quality, else fp32.
"""

import json
import logging
from typing import Final

from app.errors import ModelUnavailable
from app.models.agreement import TEXTS, cosines, sample_pictures
from app.models.calibration import Calibration
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.embedder import DualEncoder
from app.models.hardware import choose_device, has_int8_dot
from app.models.hugging_face import SourceModel
from app.models.openvino.conversion import Converted, Converter
from app.models.openvino.core import NotConvertible, can_bfloat16
from app.models.openvino.quantization import NotQuantizable, Quantized, find_or_quantize
from app.models.openvino.towers import OpenVinoTowers
from app.settings import ModelSettings

logger = logging.getLogger(__name__)

KEEPS_QUALITY: Final = 0.995
"""bfloat16 is taken from this mean cosine to the fp32 vectors on."""

KEEPS_NEIGHBOURS: Final = 0.95
"""int8 is taken when it finds at least this share of the ten nearest pictures that fp32 finds."""

FASTER: Final = 1.1
"""int8 is taken when it is at least this many times as fast as the floating-point arithmetic."""

MEASURED: Final = "measured.json"
"""A file beside the converted model: the mean cosine between fp32 vectors and those in other arithmetic."""


def load_embedder(
    settings: ModelSettings, calibration: Calibration | None = None, *, for_batches: bool = False
) -> DualEncoder:
    """The model that the settings name. Raises ModelUnavailable saying what was tried and what to set.

    8-bit arithmetic that the cache lacks is fitted to `calibration`. Without `calibration` it is not fitted.
    `for_batches` as in `OpenVinoTowers.load`.
    """
    checkpoint = find_checkpoint(settings)
    checkpoint.check()
    source = SourceModel(checkpoint)
    device = choose_device(settings.device)
    if settings.runtime == "torch" or (settings.runtime == "auto" and device == "cuda"):
        return _on_torch(settings, checkpoint, source, device)
    if device == "cuda":
        raise ModelUnavailable("MODEL_RUNTIME=openvino runs on the CPU. Set MODEL_DEVICE=cpu, or MODEL_RUNTIME=auto.")
    try:
        converter = Converter(checkpoint.fingerprint(), source)
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
    folder = converted.folder
    if settings.precision == "int8" or (settings.precision == "auto" and has_int8_dot()):
        quantized = _int8(settings, checkpoint, converted, calibration, against=precision)
        if quantized is not None:
            folder, precision, agreement = quantized.folder, "int8", quantized.agreement
    return OpenVinoTowers.load(
        folder, precision, threads=settings.threads, agreement=agreement, for_batches=for_batches
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
    agreement = _agreement_of("bf16", converted)
    if wanted != "bf16" and agreement < KEEPS_QUALITY:
        logger.warning(
            "%s does not run in bf16: its vectors would stray too far (mean cosine %.4f, at least %.3f wanted)",
            checkpoint.name, agreement, KEEPS_QUALITY,
        )  # fmt: skip
        return "fp32", None
    return "bf16", agreement


def _int8(
    settings: ModelSettings,
    checkpoint: Checkpoint,
    converted: Converted,
    calibration: Calibration | None,
    *,
    against: str,
) -> Quantized | None:
    """The 8-bit towers, when they are asked for or better than the floating-point arithmetic `against`; else None.

    Raises ModelUnavailable when they are asked for and can't be had.
    """
    is_asked_for = settings.precision == "int8"
    try:
        found = find_or_quantize(converted, calibration, against=against, threads=settings.threads)
    except NotQuantizable as error:
        if is_asked_for:
            raise ModelUnavailable(f"PRECISION=int8, but {error}. Set PRECISION=auto.") from error
        level = logging.WARNING if calibration else logging.INFO
        logger.log(level, "%s runs in %s, not in int8: %s", checkpoint.name, against, error)
        return None
    keeps = found.overlap >= KEEPS_NEIGHBOURS
    if not keeps:
        logger.warning(
            "In int8 %s finds %.1f %% of the ten nearest pictures that it finds in fp32, measured on %s; at least"
            " %.0f %% are wanted%s",
            checkpoint.name, 100 * found.overlap, found.source, 100 * KEEPS_NEIGHBOURS,
            ", but PRECISION=int8 asks for it" if is_asked_for else f": it runs in {against}",
        )  # fmt: skip
    elif found.speedup < FASTER:
        logger.info("In int8 %s is only %.2f times as fast as in %s", checkpoint.name, found.speedup, against)
    return found if is_asked_for or (keeps and found.speedup >= FASTER) else None


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
