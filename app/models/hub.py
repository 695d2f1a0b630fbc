"""Models by name: what the local Hugging Face cache holds, else the hub. Once fetched, they start without a network."""

import logging
from functools import partial
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from app.errors import ModelUnavailable
from app.models.checkpoint import REMEDY

logger = logging.getLogger(__name__)


def fetch(name: str, revision: str) -> Path:
    """The folder of a model of this name and revision. Raises ModelUnavailable."""
    try:
        folder = _fetch(name, revision, ["*.json", "*.txt", "*.model", "*.safetensors"])
        if not any(folder.glob("*.safetensors")):
            folder = _fetch(name, revision, ["*.json", "*.txt", "*.model", "pytorch_model*.bin"])
    except HFValidationError as error:
        raise ModelUnavailable(f"MODEL={name} is neither a folder nor a possible name on the hub. {REMEDY}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelUnavailable(
            f"The model {name} at revision {revision} was not found. Tried: a folder of that name, the local Hugging"
            f" Face cache (HF_HOME), and the hub, which answered: {reason.removeprefix('Got: ')}."
            " Set MODEL to a folder that holds the model, HF_HOME to a cache that does, MODEL_REVISION to a revision"
            " that exists, HF_TOKEN for a private model, or HF_ENDPOINT for a mirror."
        ) from error
    return folder


def _fetch(name: str, revision: str, patterns: list[str]) -> Path:
    fetch = partial(snapshot_download, name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"])
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        logger.info("looking for the model %s at revision %s on the hub", name, revision)
        return Path(fetch())
