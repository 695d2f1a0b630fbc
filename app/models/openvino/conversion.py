"""A model converted to OpenVINO, kept in a cache on this machine.

`<cache>/openvino/<fingerprint>/` holds `text.xml`, `image.xml`, their weights (`.bin`), and the files of
`InputPreparer.save`, so a second start imports neither PyTorch nor transformers. A folder that is damaged, or that
another version made, is made again: copied from the model's own folder when that has the model converted too, as the
demo model's does (`scripts/convert_model.py`), or converted.
"""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from app.models import artifacts
from app.models.checkpoint import CONVERTED, Checkpoint
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


class Write(Protocol):
    """Converts a model."""

    def __call__(self, folder: Path, *, half: bool = False) -> None:
        """Write its converted form into the folder, with weights in `half` precision if asked.

        Raises NotConvertible, ModelUnavailable, OSError.
        """
        ...


class Forms:
    """Where a model lies converted: in its own folder, or in the cache of this machine."""

    def __init__(self, checkpoint: Checkpoint, write: Write) -> None:
        self._write, self._fingerprint = write, checkpoint.fingerprint()
        self._shipped = checkpoint.folder / CONVERTED

    def find(self, cache: Path) -> Path | None:
        """The folder of an intact form, in the cache or in the model's own folder. Converts and writes nothing."""
        for folder, made_by in ((self._folder(cache), self._made_by()), (self._shipped, self._shipped_by())):
            manifest = artifacts.find(folder, made_by)
            if manifest is not None and "problem" not in manifest:
                return folder
        return None

    def find_or_make(self, cache: Path) -> Path:
        """The folder in the cache, filled if it was not. Raises NotConvertible, ModelUnavailable, OSError."""
        folder = self._folder(cache)
        manifest = artifacts.find(folder, self._made_by())
        if manifest is None:
            if folder.exists():
                logger.warning("the converted model in %s is damaged or of another version: converted again", folder)
            shipped = artifacts.find(self._shipped, self._shipped_by())
            fill = partial(_copy, self._shipped, shipped) if shipped else self._convert
            manifest = artifacts.make(folder, self._made_by(), fill)
        if problem := manifest.get("problem"):
            raise NotConvertible(problem)
        return folder

    def ship(self) -> Path:
        """Convert the model into its own folder, with the weights in half precision. Returns the folder inside.

        Raises NotConvertible, ModelUnavailable, OSError.
        """
        artifacts.make(self._shipped, self._made_by(), self._fill_half)
        return self._shipped

    def _folder(self, cache: Path) -> Path:
        return cache / CONVERTED / self._fingerprint

    def _made_by(self) -> dict[str, Any]:
        return {**self._shipped_by(), "openvino": openvino.__version__}

    def _shipped_by(self) -> dict[str, Any]:
        """Any version of OpenVINO reads a model that an older one has written."""
        return {"format": FORMAT, "fingerprint": self._fingerprint}

    def _fill_half(self, folder: Path) -> dict[str, Any]:
        self._write(folder, half=True)
        return {}

    def _convert(self, folder: Path) -> dict[str, Any]:
        """Write the model. When it can't be converted, keep only the reason, so that no later start tries again."""
        logger.info("converting the model to OpenVINO, once")
        try:
            self._write(folder)
        except NotConvertible as error:
            for path in folder.iterdir():
                path.unlink()
            return {"problem": str(error)}
        return {}


class Converter:
    """Finds a converted dual encoder in the cache or in its own folder, or converts it."""

    def __init__(self, checkpoint: Checkpoint, source: SourceModel) -> None:
        self._source = source
        self._forms = Forms(checkpoint, self._write)

    def find_or_convert(self, cache: Path) -> Converted:
        """The model in the cache, put there if it was not. Raises NotConvertible, ModelUnavailable, OSError."""
        folder = self._forms.find_or_make(cache)
        return Converted(folder, InputPreparer.load(folder) or self._source.prepare)

    def find_preparer(self, cache: Path) -> InputPreparer:
        """What makes the model's inputs: stored with the converted model, else transformers'. Raises ModelUnavailable.

        Converts and writes nothing.
        """
        folder = self._forms.find(cache)
        return (folder and InputPreparer.load(folder)) or self._source.prepare

    def ship(self) -> Path:
        """As `Forms.ship`."""
        return self._forms.ship()

    def _write(self, folder: Path, *, half: bool = False) -> None:
        network = self._source.load_network()
        from app.models.openvino import tracing  # imports PyTorch, which takes seconds; later starts don't need it

        tracing.write_towers(network, self._source.prepare, folder, half=half)
        self._source.prepare.save(folder)


def _copy(shipped: Path, manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    for name in manifest["files"]:
        shutil.copyfile(shipped / name, folder / name)
    return {}
