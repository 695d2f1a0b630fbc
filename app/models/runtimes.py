"""Which runtime and which arithmetic a model gets on this machine, and why."""

import json
import logging
from pathlib import Path
from typing import Final

import torch

from app.errors import ModelUnavailable
from app.models.base import Towers
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.conversion import TEXTS, Converter, NotConvertible, cosines, sample_pictures
from app.models.embedder import DualEncoder
from app.models.openvino_towers import OpenVinoTowers, can_bfloat16
from app.models.preparation import Preparation
from app.models.torch_towers import TorchTowers, load_model
from app.settings import ModelSettings

logger = logging.getLogger(__name__)

KEEPS_QUALITY: Final = 0.995
"""Mean cosine to fp32 with which bfloat16 is taken."""

MEASURED: Final = "measured.json"
"""Beside a converted model: how its vectors in other arithmetic compare with those in fp32."""


def load_embedder(settings: ModelSettings) -> DualEncoder:
    """The model that the settings name. Raises ModelUnavailable saying what was tried and what to set."""
    device = choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    checkpoint = find_checkpoint(settings)
    checkpoint.check()
    prepare = Preparation.of(checkpoint)
    return DualEncoder(checkpoint, prepare, _load_towers(settings, checkpoint, prepare, device))


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`. Raises ModelUnavailable when CUDA is asked for and absent."""
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ModelUnavailable(
            f"MODEL_DEVICE=cuda, but PyTorch {torch.__version__} finds no CUDA device. Set MODEL_DEVICE=cpu, or install"
            " a CUDA build of PyTorch and the NVIDIA driver."
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def _load_towers(settings: ModelSettings, checkpoint: Checkpoint, prepare: Preparation, device: str) -> Towers:
    if settings.runtime == "torch" or (settings.runtime == "auto" and device == "cuda"):
        return _load_torch(settings, checkpoint, device)
    if device == "cuda":
        raise ModelUnavailable("MODEL_RUNTIME=openvino runs on the CPU. Set MODEL_DEVICE=cpu, or MODEL_RUNTIME=auto.")
    converter = Converter(checkpoint.fingerprint(), prepare, lambda: load_model(checkpoint))
    try:
        folder = converter.find_or_convert(settings.cache.expanduser())
    except NotConvertible as error:
        if settings.runtime == "openvino":
            raise checkpoint.unavailable(f"MODEL_RUNTIME=openvino, but {error}") from error
        logger.warning("%s runs on PyTorch, not on the faster OpenVINO: %s", checkpoint.name, error)
        return _load_torch(settings, checkpoint, device)
    except OSError as error:
        raise ModelUnavailable(
            f"The model {checkpoint.name} can't be converted to OpenVINO in MODEL_CACHE={settings.cache}: {error}. Set"
            " MODEL_CACHE to a folder that can be written, or MODEL_RUNTIME=torch."
        ) from error
    return _load_openvino(settings, checkpoint, prepare, folder)


def _load_torch(settings: ModelSettings, checkpoint: Checkpoint, device: str) -> TorchTowers:
    return TorchTowers(load_model(checkpoint), device, _torch_precision(settings.precision, device))


def _torch_precision(wanted: str, device: str) -> str:
    if wanted == "auto":
        able = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if able else "fp32"
    return wanted


def _load_openvino(
    settings: ModelSettings, checkpoint: Checkpoint, prepare: Preparation, folder: Path
) -> OpenVinoTowers:
    """In the arithmetic asked for; `auto`: bfloat16 where the CPU has it and vectors hardly change by it."""
    if settings.precision == "bf16" and not can_bfloat16():
        raise ModelUnavailable(
            "PRECISION=bf16, but this CPU does not multiply bfloat16 (it has neither AVX-512 BF16 nor AMX). Set"
            " PRECISION=auto."
        )
    if settings.precision == "fp32" or not can_bfloat16():
        return OpenVinoTowers.load(folder, "fp32", threads=settings.threads)
    agreement = _agreement_of("bf16", folder, prepare)
    if settings.precision == "auto" and agreement < KEEPS_QUALITY:
        logger.warning(
            "%s runs in fp32: in bf16 its vectors would stray too far (mean cosine %.4f, at least %.3f wanted)",
            checkpoint.name, agreement, KEEPS_QUALITY,
        )  # fmt: skip
        return OpenVinoTowers.load(folder, "fp32", threads=settings.threads)
    towers = OpenVinoTowers.load(folder, "bf16", threads=settings.threads)
    towers.agreement = agreement
    return towers


def _agreement_of(precision: str, folder: Path, prepare: Preparation) -> float:
    """Mean cosine of both towers' vectors with those in fp32; measured once and kept beside the model."""
    path = folder / MEASURED
    try:
        return float(json.loads(path.read_bytes())[precision])
    except (OSError, ValueError, KeyError, TypeError):
        logger.debug("nothing measured in %s yet", folder)
    other, whole = (OpenVinoTowers.load(folder, each) for each in (precision, "fp32"))
    texts, images = prepare.texts(TEXTS), prepare.images(sample_pictures())
    of_texts = cosines(other.encode_texts(texts), whole.encode_texts(texts))
    of_images = cosines(other.encode_images(images), whole.encode_images(images))
    agreement = round(float(min(of_texts.mean(), of_images.mean())), 5)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({precision: agreement}))
    part.replace(path)
    return agreement
