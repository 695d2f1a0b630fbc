"""Where a model's files are, and the fingerprint that tells one model from another.

`MODEL` (name or folder) -> `find_checkpoint` -> folder on this disk -> `Checkpoint.fingerprint`.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from app.errors import ModelUnavailable
from app.pictures.decoding import PREPROCESSING_VERSION
from app.settings import ModelSettings

logger = logging.getLogger(__name__)

DEMO_MODEL: Final = "demo"
DEMO_FOLDER: Final = Path(__file__).parents[2] / "models" / "demo-clip"

WEIGHTS: Final = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
"""In the order in which transformers prefers them; the patterns are those of sharded models."""

TOKENIZERS: Final = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
PROCESSORS: Final = ("preprocessor_config.json", "processor_config.json")
OTHERS: Final = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)

VOLATILE: Final = frozenset(
    {"_name_or_path", "name_or_path", "transformers_version", "image2search", "is_local", "local_files_only"}
)
"""Entries of JSON files that say where or by what a model was saved, not what it computes."""

REMEDY: Final = (
    "Set MODEL to `demo`, to the folder of a Hugging Face dual encoder (CLIP, SigLIP, ...) or to such a model's name."
)


@dataclass(frozen=True)
class Checkpoint:
    """A model's files in one folder."""

    name: str
    """What people read: the hub's name and commit, or the folder's own name, never its path."""
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`. Raises `ModelUnavailable`."""
        try:
            config = json.loads((self.folder / "config.json").read_bytes())
        except FileNotFoundError as error:
            raise self.unavailable(f"{self.folder} has no config.json, so it holds no model") from error
        except (OSError, ValueError) as error:
            raise self.unavailable(f"config.json can't be read ({error})") from error
        if not isinstance(config, dict):
            raise self.unavailable("config.json is no JSON object")
        return config

    @property
    def notice(self) -> str | None:
        own = self.config.get("image2search")
        notice = own.get("notice") if isinstance(own, dict) else None
        return str(notice) if notice else None

    @property
    def weights(self) -> list[Path]:
        return next(filter(None, (sorted(self.folder.glob(pattern)) for pattern in WEIGHTS)), [])

    def check(self) -> None:
        """Raise `ModelUnavailable` naming what the folder lacks; transformers makes up an empty tokenizer for it."""
        if not self.config.get("model_type"):
            raise self.unavailable("config.json names no model_type, so this is no Hugging Face model")
        if not self.weights:
            raise self.unavailable(f"{self.folder} has no weights (model.safetensors or pytorch_model.bin)")
        if not self._has(TOKENIZERS):
            raise self.unavailable(f"{self.folder} has no tokenizer ({', '.join(TOKENIZERS[:3])}, ...)")
        if not self._has(PROCESSORS):
            raise self.unavailable(f"{self.folder} has no preprocessor_config.json, which says how to prepare pictures")

    def fingerprint(self) -> str:
        """32 hex digits over weights, configuration, tokenizer and preprocessing, by content alone.

        A model's name and revision are covered by what they name: moved, renamed, or taken from the hub at another
        revision with the same files, it keeps its fingerprint.
        """
        digest = hashlib.blake2b(f"preprocessing {PREPROCESSING_VERSION}\n".encode(), digest_size=16)
        for path in sorted(self._deciding_files()):
            digest.update(f"{path.name} {_hash_file(path)}\n".encode())
        return digest.hexdigest()

    def unavailable(self, problem: str) -> ModelUnavailable:
        return ModelUnavailable(f"The model {self.name} can't be used: {problem}. {REMEDY}")

    @contextmanager
    def translating(self, what: str) -> Iterator[None]:
        """Whatever is raised over the model's files, as `ModelUnavailable`."""
        try:
            yield
        except ModelUnavailable:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise self.unavailable(f"{what} can't be loaded ({lines[0]})") from error

    def _has(self, names: tuple[str, ...]) -> bool:
        return any((self.folder / name).is_file() for name in names)

    def _deciding_files(self) -> Iterator[Path]:
        yield from self.weights
        for name in (*TOKENIZERS, *PROCESSORS, *OTHERS):
            if (path := self.folder / name).is_file():
                yield path


def find_checkpoint(settings: ModelSettings) -> Checkpoint:
    """The folder of the model that is asked for, downloaded if need be. Raises `ModelUnavailable`."""
    if settings.name == DEMO_MODEL:
        if not DEMO_FOLDER.is_dir():
            raise ModelUnavailable(
                f"The demo model isn't in {DEMO_FOLDER}. Run from a checkout of the repository, which has it in"
                " models/demo-clip, or set MODEL to another model's folder or name."
            )
        return Checkpoint(DEMO_FOLDER.name, DEMO_FOLDER)
    folder = Path(settings.name).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.resolve().name, folder)
    if folder.is_absolute() or settings.name.startswith(("~", ".")):
        raise ModelUnavailable(f"MODEL={settings.name} is no folder on this machine. {REMEDY}")
    from app.models import hub  # its library takes most of a second to import, and folders need none of it

    folder = hub.fetch(settings.name, settings.revision)
    return Checkpoint(f"{settings.name}@{folder.name[:12]}", folder)


def _hash_file(path: Path) -> str:
    if path.suffix == ".json":
        return hashlib.blake2b(_canonical(path.read_bytes()), digest_size=16).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def _canonical(text: bytes) -> bytes:
    try:
        return json.dumps(_lasting(json.loads(text)), sort_keys=True).encode()
    except ValueError:
        return text


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
