"""Finds the generator that the settings name, and the runtime for it.

PyTorch on CUDA where a GPU is; on the CPU the graphs that lie converted in the pipeline's own folder, which need
neither PyTorch nor diffusers; else diffusers on the CPU.
"""

import logging

from app.errors import NotInstalled
from app.models.checkpoint import NotDownloaded
from app.models.extra import GENERATION, is_installed, missing
from app.models.generator.base import Abilities, Generator
from app.models.generator.folder import PipelineFolder, find_pipeline
from app.models.hardware import choose_device
from app.settings import GenerationSettings

logger = logging.getLogger(__name__)


def check_installed(settings: GenerationSettings) -> None:
    """Raise NotConfigured where GENERATION_MODEL is empty, NotInstalled where a package is missing.

    ModelUnavailable for a folder that holds no pipeline. Downloads nothing and loads no model.
    """
    try:
        folder = find_pipeline(settings, download=False)
    except NotDownloaded:
        folder = None
    if not is_installed(GENERATION) and (folder is None or not _runs_converted(folder, settings)):
        raise _not_installed(settings, folder)


def read_abilities(settings: GenerationSettings) -> Abilities | None:
    """What the generator can draw, read from small files in milliseconds. None where only the loaded model can say.

    Raises NotConfigured and ModelUnavailable.
    """
    try:
        folder = find_pipeline(settings, download=False)
    except NotDownloaded:
        return None
    if not _runs_converted(folder, settings) or choose_device(settings.device, "GENERATION_DEVICE") == "cuda":
        return None
    from app.models.generator.converted_generator import converted_abilities

    return converted_abilities(folder)


def load_generator(settings: GenerationSettings) -> Generator:
    """The generator that the settings name; downloads it where it is not on this machine yet.

    Raises as `check_installed`.
    """
    check_installed(settings)
    folder = find_pipeline(settings)
    device = choose_device(settings.device, "GENERATION_DEVICE")
    if device == "cpu" and _runs_converted(folder, settings):
        from app.models.generator.converted_generator import ConvertedGenerator

        return ConvertedGenerator(folder, settings)
    if device == "cpu" and folder.graphs.is_dir():
        logger.warning(
            "%s runs on PyTorch, not on its converted form, which is damaged or was made from other files. `python -m"
            " scripts.convert_model %s` converts it anew.",
            folder.name, folder.path,
        )  # fmt: skip
    from app.models.generator.diffusers_generator import DiffusersGenerator

    return DiffusersGenerator(folder, settings, device)


def _runs_converted(folder: PipelineFolder, settings: GenerationSettings) -> bool:
    """Whether its converted form can run, and the settings ask for nothing that it lacks."""
    return settings.device != "cuda" and folder.is_converted


def _not_installed(settings: GenerationSettings, folder: PipelineFolder | None) -> NotInstalled:
    stale = folder is not None and folder.graphs.is_dir()
    why = (
        "whose converted form is damaged or was made from other files"
        if stale
        else "which is not converted to OpenVINO"
    )
    return NotInstalled(
        f"GENERATION_MODEL={settings.model}, {why}, needs {' and '.join(missing(GENERATION))}, not installed here."
        " Install with `pip install 'image2search[generation]'`, or set GENERATION_MODEL=demo."
    )
