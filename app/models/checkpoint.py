"""Where a model's files are, and the fingerprint that tells one model from another.

`MODEL` (name or folder) -> `find_checkpoint` -> a folder on this machine -> `Checkpoint.fingerprint`. Models for other
tasks are found in the same way (`find_model`); a `Role` has the names of their settings.
A name that is no folder is looked up in the local Hugging Face cache, then on the hub. Once downloaded, a model starts
without a network.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from app.errors import ModelUnavailable, first_line
from app.models import foreign_layouts
from app.pictures.decoding import PREPROCESSING_VERSION
from app.settings import ModelSettings
from app.types import hash_content, hash_file

logger = logging.getLogger(__name__)

DEMO_MODEL: Final = "demo"
DEMO_FOLDER: Final = Path(__file__).parents[2] / "models" / "demo-clip"

WEIGHTS: Final = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
"""In the order in which transformers looks for them. The patterns match models that are split into several files."""

TOKENIZERS: Final = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
OTHERS: Final = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)

DESCRIPTIONS: Final = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of a repository that say what the model is, without its weights."""

VOLATILE: Final = frozenset(
    {
        *("_name_or_path", "name_or_path", "transformers_version", "_diffusers_version"),
        *("image2search", "is_local", "local_files_only"),
    }
)
"""JSON entries that tell where a model was saved and with which version. They don't change what it computes."""

CONVERTED: Final = "openvino"
"""The folder for converted models in MODEL_CACHE, by fingerprint, and that for the converted form in a model's own
folder."""


class NotDownloaded(ModelUnavailable):
    """The model's files are not on this machine yet."""


@dataclass(frozen=True)
class Role:
    """What a model is for, as settings and messages call it."""

    setting: str
    """The variable that names the model."""
    revision_setting: str
    remedy: str
    """The sentence that says what to set the variable to."""
    decides: tuple[str, ...] = ()
    """Files that change what it computes, besides those of every model."""
    sees: bool = True
    """Whether it takes pictures."""


EMBEDDER: Final = Role(
    "MODEL",
    "MODEL_REVISION",
    "Set MODEL to `demo`, to the folder of a Hugging Face dual encoder (CLIP, SigLIP, ...) or to such a model's name.",
)


@dataclass(frozen=True)
class Checkpoint:
    """A model's files in one folder."""

    name: str
    """For people to read: the hub's name and commit, or the folder's own name. Never the folder's path."""
    folder: Path
    role: Role = EMBEDDER

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
        """As `Embedder.notice`."""
        own = self.config.get("image2search")
        notice = own.get("notice") if isinstance(own, dict) else None
        return str(notice) if notice else None

    @property
    def weights(self) -> list[Path]:
        """The files that hold the weights, by the first of WEIGHTS that matches; empty when there are none."""
        return next(filter(None, (sorted(self.folder.glob(pattern)) for pattern in WEIGHTS)), [])

    def check(self) -> None:
        """Raise `ModelUnavailable` when a file is missing, or when the folder has another library's layout.

        transformers would not: it replaces a missing tokenizer by an empty one.
        """
        if problem := foreign_layouts.problem_of(self.folder, self.name):
            raise self.unavailable(problem)
        if not self.config.get("model_type"):
            raise self.unavailable("config.json names no model_type, so this is no Hugging Face model")
        if not self.weights:
            raise self.unavailable(f"{self.folder} has no weights (model.safetensors or pytorch_model.bin)")
        if not self._has(TOKENIZERS):
            raise self.unavailable(f"{self.folder} has no tokenizer ({', '.join(TOKENIZERS[:3])}, ...)")
        if self.role.sees and not self._has(foreign_layouts.PROCESSORS):
            raise self.unavailable(f"{self.folder} has no preprocessor_config.json, which says how to prepare pictures")

    def fingerprint(self) -> str:
        """32 hex digits over the contents of weights, configuration, tokenizer and preprocessing files.

        Name, folder and revision don't count: a model that is moved or renamed keeps its fingerprint, and another
        revision with the same files has the same fingerprint.
        """
        digest = hashlib.blake2b(f"preprocessing {PREPROCESSING_VERSION}\n".encode(), digest_size=16)
        for path in sorted(self._deciding_files()):
            digest.update(f"{path.name} {hash_model_file(path)}\n".encode())
        return digest.hexdigest()

    def unavailable(self, problem: str) -> ModelUnavailable:
        """The error to raise; `problem` is a clause such as `config.json can't be read`."""
        return ModelUnavailable(f"The model {self.name} can't be used: {problem}. {self.role.remedy}")

    @contextmanager
    def translating(self, what: str) -> Iterator[None]:
        """Any exception that the model's files cause becomes `ModelUnavailable`; `what` names the part being loaded."""
        try:
            yield
        except ModelUnavailable:
            raise
        except Exception as error:
            raise self.unavailable(f"{what} can't be loaded ({first_line(error)})") from error

    def _has(self, names: tuple[str, ...]) -> bool:
        return any((self.folder / name).is_file() for name in names)

    def _deciding_files(self) -> Iterator[Path]:
        yield from self.weights
        for name in (*TOKENIZERS, *foreign_layouts.PROCESSORS, *OTHERS, *self.role.decides):
            if (path := self.folder / name).is_file():
                yield path


Snapshot: TypeAlias = Callable[[str, Sequence[str]], Path]
"""Downloads what the local cache lacks of the files that match the patterns, in the repository's folder of this name
(empty: the top) and not below it. Returns the local folder of the repository."""


def find_checkpoint(settings: ModelSettings, *, download: bool = True) -> Checkpoint:
    """The model that `MODEL` names, as `find_model`."""
    return find_model(settings.name, settings.revision, EMBEDDER, demo=DEMO_FOLDER, download=download)


def find_model(
    name: str,
    revision: str,
    role: Role,
    *,
    demo: Path | None = None,
    download: bool = True,
    fetch: "Callable[[Snapshot, str], Path] | None" = None,
) -> Checkpoint:
    """The model of this name, downloaded when it is not on this machine yet. Raises `ModelUnavailable`.

    `demo` is the folder of the role's demo model, where it has one. `fetch` gets the files that the role needs of the
    repository of this name, and returns its folder; the files of one model of transformers otherwise. Without
    `download` it raises NotDownloaded instead.
    """
    if name == DEMO_MODEL and demo:
        if not demo.is_dir():
            raise ModelUnavailable(
                f"The demo model isn't in {demo}. Run from a checkout of the repository, which has it in"
                f" models/{demo.name}, or set {role.setting} to another model's folder or name."
            )
        return Checkpoint(demo.name, demo, role)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.resolve().name, foreign_layouts.model_folder(folder), role)
    if folder.is_absolute() or name.startswith(("~", ".")):
        raise ModelUnavailable(f"{role.setting}={name} is no folder on this machine. {role.remedy}")
    with _translating_fetch(name, revision, role):
        folder = (fetch or _fetch)(partial(_snapshot, name, revision, download=download), name)
    return Checkpoint(f"{name}@{folder.name[:12]}", foreign_layouts.model_folder(folder), role)


def _fetch(snapshot: Snapshot, name: str) -> Path:
    """The folder of a model from the hub or its local cache: descriptions first, then weights in the better format."""
    folder = snapshot("", DESCRIPTIONS)
    inner = foreign_layouts.model_folder(folder)
    within = "" if inner == folder else f"{inner.name}/"
    if not foreign_layouts.problem_of(inner, name):
        snapshot(within, [*DESCRIPTIONS, "*.safetensors"])
        if not any(inner.glob("*.safetensors")):
            snapshot(within, [*DESCRIPTIONS, "pytorch_model*.bin"])
    return folder


@contextmanager
def _translating_fetch(name: str, revision: str, role: Role) -> Iterator[None]:
    """What goes wrong at the hub becomes ModelUnavailable."""
    from huggingface_hub.errors import HFValidationError  # takes most of a second to import; folders don't need it

    try:
        yield
    except NotDownloaded:
        raise
    except HFValidationError as error:
        raise ModelUnavailable(
            f"{role.setting}={name} is neither a folder nor a possible name on the hub. {role.remedy}"
        ) from error
    except Exception as error:
        raise ModelUnavailable(
            f"The model {name} at revision {revision} was not found. Tried: a folder of that name, the local Hugging"
            f" Face cache (HF_HOME), and the hub, which answered: {first_line(error).removeprefix('Got: ')}."
            f" Set {role.setting} to a folder that holds the model, HF_HOME to a cache that does,"
            f" {role.revision_setting} to a revision that exists, HF_TOKEN for a private model, or HF_ENDPOINT for a"
            " mirror."
        ) from error


def _snapshot(name: str, revision: str, within: str, patterns: Sequence[str], *, download: bool) -> Path:
    """The local folder of a repository, with the files that match in its folder `within` and not below that.

    Downloads what the local cache lacks, or raises NotDownloaded without `download`.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    fetch = partial(
        snapshot_download,
        name,
        revision=revision,
        allow_patterns=[within + pattern for pattern in patterns],
        ignore_patterns=[f"{within}*/*"],
    )
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError as error:
        if not download:
            raise NotDownloaded(f"The model {name} at revision {revision} is not on this machine yet.") from error
        logger.info("looking for the model %s at revision %s on the hub", name, revision)
        return Path(fetch())


def hash_model_file(path: Path) -> str:
    """Of a file that is part of a model: by content; of JSON by what it says, not how it is laid out."""
    status = path.stat()
    return _read_hash_of(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=256)
def _read_hash_of(path: Path, *stamp: int) -> str:
    """A start asks for a model's fingerprint several times, and its weights may have gigabytes."""
    if path.suffix == ".json":
        return hash_content(_canonical(path.read_bytes()))
    with path.open("rb") as file:
        return hash_file(file)


def _canonical(text: bytes) -> bytes:
    """JSON in one layout, without the VOLATILE entries. Other text stays as it is."""
    try:
        return json.dumps(_without_volatile(json.loads(text)), sort_keys=True).encode()
    except ValueError:
        return text


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_volatile(item) for key, item in value.items() if key not in VOLATILE}
    return [_without_volatile(item) for item in value] if isinstance(value, list) else value
