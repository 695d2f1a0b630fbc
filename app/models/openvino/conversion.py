"""A model converted to OpenVINO, made once and kept in a cache on this machine.

`<cache>/openvino/<fingerprint>/` holds `text.xml`, `image.xml`, their weights (`.bin`), and the files of
`InputPreparer.save`, so a second start imports neither PyTorch nor transformers. A folder that is damaged, or that
another version made, is made again.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.models import artifacts
from app.models.hugging_face import SourceModel
from app.models.inputs import InputPreparer
from app.models.openvino.core import NotConvertible, openvino

logger = logging.getLogger(__name__)

FORMAT: Final = 3


@dataclass(frozen=True)
class Converted:
    """The folder of a model's converted towers, and what makes their inputs."""

    folder: Path
    prepare: InputPreparer


class Converter:
    """Finds a converted model in the cache, or converts it."""

    def __init__(self, fingerprint: str, source: SourceModel) -> None:
        self._fingerprint, self._source = fingerprint, source

    def find_or_convert(self, cache: Path) -> Converted:
        """Raises NotConvertible, ModelUnavailable, OSError."""
        folder = cache / "openvino" / self._fingerprint
        made_by = {"format": FORMAT, "openvino": openvino.__version__, "fingerprint": self._fingerprint}
        manifest = artifacts.find(folder, made_by)
        if manifest is None:
            if folder.exists():
                logger.warning("the converted model in %s is damaged or of another version: converted again", folder)
            manifest = artifacts.make(folder, made_by, self._convert)
        if problem := manifest.get("problem"):
            raise NotConvertible(problem)
        return Converted(folder, InputPreparer.load(folder) or self._source.prepare)

    def _convert(self, folder: Path) -> dict[str, Any]:
        """Write the model. When it can't be converted, keep only the reason, so that no later start tries again."""
        from app.models.openvino import tracing  # imports PyTorch, which takes seconds; later starts don't need it

        logger.info("converting the model to OpenVINO, once")
        try:
            tracing.write_towers(self._source.load_network(), self._source.prepare, folder)
        except NotConvertible as error:
            for path in folder.iterdir():
                path.unlink()
            return {"problem": str(error)}
        self._source.prepare.save(folder)
        return {}
