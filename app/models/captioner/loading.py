"""Finds the captioner that the settings name, and the runtime for it.

PyTorch on CUDA where a GPU is. On the CPU OpenVINO for models that ship a converted form, and for every GIT and BLIP
where the CPU multiplies bfloat16: that is twice as fast as PyTorch, while float32 is slower (docs/performance.md).
Others stay on PyTorch.
"""

import logging
from pathlib import Path

from app.errors import ModelUnavailable
from app.models import extra
from app.models.captioner.base import Captioner
from app.models.captioner.source import SourceCaptioner, find_captioner
from app.models.checkpoint import CONVERTED, Checkpoint, NotDownloaded
from app.models.hardware import choose_device
from app.pictures.resize import Resize
from app.settings import CaptionSettings

logger = logging.getLogger(__name__)


def check_installed(settings: CaptionSettings, cache: Path) -> None:
    """Raise PackageMissing when the captioner needs a package that is not installed, ModelUnavailable for a bad one.

    Downloads nothing and loads no model. `cache` is the folder of converted models.
    """
    if settings.runtime == "torch":
        extra.require(extra.NETWORK, "CAPTION_RUNTIME=torch", "CAPTION_RUNTIME=auto")
    if settings.device == "cuda":
        extra.require(extra.NETWORK, "CAPTION_DEVICE=cuda", "CAPTION_DEVICE=auto")
    try:
        checkpoint = find_captioner(settings, download=False)
    except NotDownloaded:
        is_converted = False
    else:
        checkpoint.check()
        is_converted = not extra.is_installed(extra.NETWORK) and _find_form(checkpoint, cache) is not None
    if is_converted:
        return
    what = f"CAPTION_MODEL={settings.model}, which is not converted to OpenVINO yet,"
    extra.require(extra.NETWORK, what, "CAPTION_MODEL=demo")


def load_captioner(settings: CaptionSettings, cache: Path) -> Captioner:
    """The model that the settings name. Raises ModelUnavailable saying what was tried and what to set."""
    check_installed(settings, cache)
    checkpoint = find_captioner(settings)
    checkpoint.check()
    source = SourceCaptioner(checkpoint)
    device = choose_device(settings.device, "CAPTION_DEVICE")
    if settings.runtime == "torch" or (settings.runtime == "auto" and device == "cuda"):
        return _on_torch(source, device, settings)
    if settings.runtime == "openvino" and settings.device == "cuda":
        raise ModelUnavailable(
            "CAPTION_RUNTIME=openvino runs on the CPU. Set CAPTION_DEVICE=cpu, or CAPTION_RUNTIME=auto."
        )
    precision = _precision_of(settings)
    if settings.runtime == "auto" and not _gains(checkpoint, precision):
        return _on_torch(source, device, settings)
    return _on_openvino(source, settings, cache, precision)


def find_resize(settings: CaptionSettings, cache: Path) -> Resize:
    """`Captioner.resize` of the model that the settings name, without its weights. Raises ModelUnavailable."""
    checkpoint = find_captioner(settings)
    if folder := _find_form(checkpoint, cache):
        from app.models.captioner.converted import Facts

        return Facts.load(folder).preprocessor.resize
    return SourceCaptioner(checkpoint).images.resize


def ship(checkpoint: Checkpoint) -> Path:
    """As `Forms.ship`, for a captioner. Raises NotConvertible, ModelUnavailable, OSError."""
    from app.models.openvino.conversion import Forms

    return Forms(checkpoint, _Writer(SourceCaptioner(checkpoint))).ship()


def _precision_of(settings: CaptionSettings) -> str:
    """As OpenVINO calls it. Raises ModelUnavailable for bf16 on a CPU that lacks it."""
    from app.models.openvino.core import can_bfloat16  # OpenVINO takes half a second to import

    if settings.precision == "fp32":
        return "f32"
    if can_bfloat16():
        return "bf16"
    if settings.precision == "bf16":
        raise ModelUnavailable("CAPTION_PRECISION=bf16, which this CPU does not multiply. Set CAPTION_PRECISION=auto.")
    return "f32"


def _gains(checkpoint: Checkpoint, precision: str) -> bool:
    """Whether OpenVINO is faster, or needs nothing that is not installed."""
    ships = (checkpoint.folder / CONVERTED).is_dir()
    return precision == "bf16" or ships or not extra.is_installed(extra.NETWORK)


def _on_torch(source: SourceCaptioner, device: str, settings: CaptionSettings) -> Captioner:
    from app.models.captioner.torch_captioner import TorchCaptioner

    return TorchCaptioner(source, device, settings)


def _on_openvino(source: SourceCaptioner, settings: CaptionSettings, cache: Path, precision: str) -> Captioner:
    from app.models.captioner.converted import ConvertedCaptioner
    from app.models.openvino.conversion import Forms
    from app.models.openvino.core import NotConvertible

    checkpoint = source.checkpoint
    forms = Forms(checkpoint, _Writer(source))
    try:
        folder = forms.find(cache) or forms.find_or_make(cache)
    except NotConvertible as error:
        if settings.runtime == "openvino":
            raise checkpoint.unavailable(f"CAPTION_RUNTIME=openvino, but {error}") from error
        logger.info("%s runs on PyTorch, not on OpenVINO: %s", checkpoint.name, error)
        return _on_torch(source, "cpu", settings)
    except OSError as error:
        raise ModelUnavailable(
            f"The captioner {checkpoint.name} can't be converted to OpenVINO in MODEL_CACHE={cache}: {error}. Set"
            " MODEL_CACHE to a folder that can be written and has room, or CAPTION_RUNTIME=torch."
        ) from error
    with checkpoint.translating("its converted form"):
        return ConvertedCaptioner(checkpoint.name, folder, settings, precision)


def _find_form(checkpoint: Checkpoint, cache: Path) -> Path | None:
    from app.models.openvino.conversion import Forms  # OpenVINO takes half a second to import

    return Forms(checkpoint, _Writer(SourceCaptioner(checkpoint))).find(cache)


class _Writer:
    """As `openvino.conversion.Write`."""

    def __init__(self, source: SourceCaptioner) -> None:
        self._source = source

    def __call__(self, folder: Path, *, half: bool = False) -> None:
        self._source.images  # noqa: B018 - says which packages are missing before PyTorch is imported
        from app.models.captioner.tracing import write_captioner  # imports PyTorch, which takes seconds

        write_captioner(self._source, folder, half=half)
