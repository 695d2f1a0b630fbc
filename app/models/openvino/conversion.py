"""A model as this disk keeps it for OpenVINO: converted once, compared with PyTorch, and loaded without it.

`<cache>/openvino/<fingerprint>/` holds `text.xml`, `image.xml`, their weights (`.bin`), and what `Preparation.save`
writes, so that a second start imports neither PyTorch nor transformers. What is damaged, or was made by another
version, is made again.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.models import artifacts as kept
from app.models.inputs import Preparation
from app.models.openvino.core import openvino
from app.models.original import Original

logger = logging.getLogger(__name__)

FORMAT: Final = 3


class NotConvertible(Exception):
    """OpenVINO can't run this model; the message says why."""


@dataclass(frozen=True)
class Converted:
    """The folder of a model's towers, and what prepares texts and pictures for them."""

    folder: Path
    prepare: Preparation


class Converter:
    """Finds a model in the cache, or puts it there."""

    def __init__(self, fingerprint: str, original: Original) -> None:
        self._fingerprint, self._original = fingerprint, original

    def find_or_convert(self, cache: Path) -> Converted:
        """Raises NotConvertible, ModelUnavailable, OSError."""
        folder = cache / "openvino" / self._fingerprint
        made_by = {"format": FORMAT, "openvino": openvino.__version__, "fingerprint": self._fingerprint}
        manifest = kept.find(folder, made_by)
        if manifest is None:
            if folder.exists():
                logger.warning("the converted model in %s is damaged or of another version: converted again", folder)
            manifest = kept.make(folder, made_by, self._convert)
        if problem := manifest.get("problem"):
            raise NotConvertible(problem)
        return Converted(folder, Preparation.load(folder) or self._original.prepare)

    def _convert(self, folder: Path) -> dict[str, Any]:
        """Write the model; of one that can't be converted only the reason remains."""
        from app.models.openvino import tracing  # PyTorch takes seconds to import, and is needed once

        logger.info("converting the model to OpenVINO, once")
        try:
            tracing.write_towers(self._original.load_model(), self._original.prepare, folder)
        except NotConvertible as error:
            for path in folder.iterdir():
                path.unlink()
            return {"problem": str(error)}
        self._original.prepare.save(folder)
        return {}
