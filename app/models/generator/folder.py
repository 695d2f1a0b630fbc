"""Where a diffusers pipeline's files are, and what its small files say about it. Needs neither PyTorch nor diffusers.

`GENERATION_MODEL` (name or folder) -> `find_pipeline` -> a folder on this machine with `model_index.json`, which lists
the parts, and one folder for each part.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from app.errors import ModelUnavailable, NotConfigured
from app.models import artifacts
from app.models.checkpoint import CONVERTED, Checkpoint, NotDownloaded, Role, Snapshot, find_model, hash_model_file
from app.settings import GenerationSettings

logger = logging.getLogger(__name__)

GENERATOR: Final = Role(
    "GENERATION_MODEL",
    "GENERATION_REVISION",
    "Set GENERATION_MODEL to `demo`, to the folder of a diffusers pipeline (Stable Diffusion, SDXL, PixArt, ...) or to"
    " such a pipeline's name, such as stabilityai/sd-turbo.",
)

DEMO_FOLDER: Final = Path(__file__).parents[3] / "models" / "demo-generator"

INDEX: Final = "model_index.json"

DEFAULTS: Final = "image2search.json"
"""A file in which a pipeline's makers may say which `steps`, `guidance` and `scheduler` suit it."""

HALF: Final = "fp16"
"""What the names of weights in half precision have: `diffusion_pytorch_model.fp16.safetensors`."""

FORMAT: Final = 1
"""Of the converted form in a pipeline's own folder."""

_WEIGHTS: Final = ("*.safetensors", "*.bin")
_DECIDING: Final = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline's files in one folder."""

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """As `Generator.name`."""
        return self.checkpoint.name

    @property
    def path(self) -> Path:
        return self.checkpoint.folder

    @property
    def graphs(self) -> Path:
        """Where its converted form lies, if it has one."""
        return self.path / CONVERTED

    @cached_property
    def parts(self) -> dict[str, str]:
        """The class of each part that is there, by the part's name. Raises ModelUnavailable."""
        entries = self._read(INDEX)
        return {name: str(value[1]) for name, value in entries.items() if _is_part(value)}

    @property
    def kind(self) -> str:
        """The name of diffusers' class for it. Raises ModelUnavailable."""
        return str(self._read(INDEX).get("_class_name", ""))

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What DEFAULTS says; empty without that file. Raises ModelUnavailable."""
        return self._read(DEFAULTS) if (self.path / DEFAULTS).is_file() else {}

    @property
    def variant(self) -> str | None:
        """`fp16` for a pipeline that was published in half precision alone, as diffusers calls its files; else None."""
        names = [path.name for part in self.parts for path in (self.path / part).glob("*.safetensors")]
        return HALF if names and all(f".{HALF}." in name for name in names) else None

    def config(self, part: str) -> dict[str, Any]:
        """The part's configuration; empty where it has none. Raises ModelUnavailable."""
        names = (f"{part}/scheduler_config.json", f"{part}/config.json")
        return next((self._read(name) for name in names if (self.path / name).is_file()), {})

    def check(self) -> None:
        """Raise ModelUnavailable when this is no pipeline, or when a part has no files."""
        if not (self.path / INDEX).is_file():
            raise self.unavailable(f"{self.path} has no {INDEX}, so it holds no diffusers pipeline")
        if lacking := [part for part in self.parts if self._lacks(part)]:
            raise self.unavailable(f"{self.path} lacks files of its {' and '.join(lacking)}")

    def fingerprint(self) -> str:
        """32 hex digits over the contents of everything that decides what it draws, for a converted form to match."""
        digest = hashlib.blake2b(digest_size=16)
        for part in ("", *sorted(self.parts)):
            for path in sorted(self._deciding_files(part)):
                digest.update(f"{part}/{path.name} {hash_model_file(path)}\n".encode())
        return digest.hexdigest()

    def converted_by(self) -> dict[str, Any]:
        """What the manifest of a converted form says that matches these files."""
        return {"format": FORMAT, "fingerprint": self.fingerprint()}

    @property
    def is_converted(self) -> bool:
        """Whether it has a converted form that is intact and was made from these files."""
        return artifacts.find(self.graphs, self.converted_by()) is not None

    def unavailable(self, problem: str) -> ModelUnavailable:
        """As `Checkpoint.unavailable`."""
        return self.checkpoint.unavailable(problem)

    def _deciding_files(self, part: str) -> Iterator[Path]:
        if not part:
            yield self.path / INDEX
            return
        for pattern in _DECIDING:
            yield from (self.path / part).glob(pattern)

    def _lacks(self, part: str) -> bool:
        """Whether files of the part are missing: all of them, its weights, or one of the files that hold these."""
        folder = self.path / part
        if not (folder / "config.json").is_file():  # a tokenizer, a scheduler, ...
            return not (folder.is_dir() and any(folder.iterdir()))
        lists = [self._read(f"{part}/{path.name}") for path in folder.glob("*.index.json")]
        if any((folder / name).is_file() for names in lists for name in names.get("weight_map", {}).values()):
            return not any(
                all((folder / name).is_file() for name in names.get("weight_map", {}).values()) for names in lists
            )
        return not any(path for pattern in _WEIGHTS for path in folder.glob(pattern))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError) as error:
            raise self.unavailable(f"{name} can't be read ({error})") from error
        if not isinstance(found, dict):
            raise self.unavailable(f"{name} is no JSON object")
        return found


def find_pipeline(settings: GenerationSettings, *, download: bool = True) -> PipelineFolder:
    """The pipeline that GENERATION_MODEL names, checked; downloaded when it is not on this machine yet.

    Raises NotConfigured, ModelUnavailable, and NotDownloaded without `download`.
    """
    if not settings.model:
        raise NotConfigured(f"This service draws no pictures: GENERATION_MODEL is not set. {GENERATOR.remedy}")
    folder = PipelineFolder(
        find_model(
            settings.model,
            settings.revision,
            GENERATOR,
            demo=DEMO_FOLDER,
            download=download,
            fetch=_fetching(settings, download=download),
        )
    )
    folder.check()
    return folder


def _fetching(settings: GenerationSettings, *, download: bool) -> Callable[[Snapshot, str], Path]:
    """Gets a repository's files from the local cache, or from the hub when the cache lacks some.

    diffusers knows which ones: a repository often has the same weights in several formats and precisions.
    """

    def fetch(snapshot: Snapshot, name: str) -> Path:
        if not download:
            return _whole(snapshot("", [INDEX]), name)
        from app.models.generator.quiet import quiet_diffusers

        with quiet_diffusers():
            return _cached(name, settings.revision) or _downloaded(name, settings.revision)

    return fetch


def _whole(folder: Path, name: str) -> Path:
    """The folder in the local cache. Raises NotDownloaded when it lacks files: a download may have been interrupted."""
    try:
        PipelineFolder(Checkpoint(name, folder, GENERATOR)).check()
    except ModelUnavailable as error:
        raise NotDownloaded(f"The pipeline {name} is not wholly on this machine yet.") from error
    return folder


def _cached(name: str, revision: str) -> Path | None:
    """The folder in the local cache; None when it lacks files."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(name, revision, local_files_only=True)
    except (LocalEntryNotFoundError, NotDownloaded):
        return None


def _downloaded(name: str, revision: str) -> Path:
    logger.info("looking for the pipeline %s at revision %s on the hub", name, revision)
    try:
        return _snapshot(name, revision)
    except NotDownloaded:  # it has no weights in full precision
        return _snapshot(name, revision, variant=HALF)


def _snapshot(name: str, revision: str, **options: Any) -> Path:
    """The checked folder. Raises NotDownloaded when it lacks files, and what diffusers raises."""
    from diffusers import DiffusionPipeline

    return _whole(Path(DiffusionPipeline.download(name, revision=revision, **options)), name)


def _is_part(value: object) -> bool:
    """Whether an entry of INDEX is a part: `["diffusers", "AutoencoderKL"]`. One that is absent is `[null, null]`."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)
