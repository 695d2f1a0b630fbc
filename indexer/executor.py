"""What a run works with, and which engine reads and embeds.

The model is loaded when the first picture needs it: an unchanged bucket never does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from app.catalog.catalog import Catalog
from app.models.calibration import Calibration
from app.pictures.decoding import Picture
from app.settings import ImageSettings, Settings
from app.storage.base import ObjectInfo, ObjectStore
from app.types import ImageRecord, ModelIdentity
from indexer.local_executor import plain_engine
from indexer.progress import Progress
from indexer.results import Harvest, Harvester

if TYPE_CHECKING:
    from app.models.base import Embedder


class Model:
    """A model known by its fingerprint before it is loaded, and loaded once. For one thread, but `read`."""

    def __init__(self, fingerprint: Callable[[], str], load: "Callable[[Calibration | None], Embedder]") -> None:
        """Both raise ModelUnavailable. `load` is told what the model's arithmetic can be fitted to."""
        self._fingerprint = fingerprint
        self._load = load
        self.calibration: Calibration | None = None
        self._loading = Lock()
        self._loaded: Embedder | None = None
        self._elsewhere: ModelIdentity | None = None

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint()

    @property
    def embedder(self) -> "Embedder":
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load(self.calibration)
            return self._loaded

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    @property
    def identity(self) -> ModelIdentity:
        """Of the vectors that were made; the model is loaded for it where none were."""
        return self._elsewhere or self.embedder.identity

    @property
    def is_used(self) -> bool:
        """Whether vectors may have been made with it, here or elsewhere."""
        return self.is_loaded or self._elsewhere is not None

    def worked_elsewhere(self, identity: ModelIdentity) -> None:
        """Other processes have loaded it and make vectors with it."""
        self._elsewhere = identity

    def read(self, data: bytes, limits: ImageSettings) -> Picture:
        """A picture file as the model looks at it; loads the model where that was not foreseen. Thread-safe."""
        return self.embedder.read(data, limits)


class Pipeline(Protocol):
    """One pass over the objects to read."""

    @property
    def harvest(self) -> Harvest:
        """What is done so far."""
        ...

    def prepare(self, progress: Progress, *, needs_model: bool) -> None:
        """What takes its time before the first picture; `run` comes next. Raises AppError."""
        ...

    def run(self, objects: Sequence[ObjectInfo], stop: Callable[[], bool]) -> None:
        """Fill `harvest`; when `stop` turns true, with what is embedded by then.

        Raises AppError, and what nobody expected; `harvest` holds what was done before.
        """
        ...


class Engine(Protocol):
    """What reads and embeds."""

    def __call__(self, parts: "Parts", known: Mapping[str, ImageRecord], harvester: Harvester) -> Pipeline:
        """The pipeline of one run. Contents whose hash is `known` are not embedded."""
        ...


@dataclass(frozen=True)
class Parts:
    settings: Settings
    store: ObjectStore
    catalog: Catalog
    model: Model
    engine: Engine = plain_engine


def assemble(settings: Settings) -> Parts:
    """The parts as the settings say. Raises InvalidSettings."""
    from app import bootstrap
    from app.models.checkpoint import find_checkpoint

    store = bootstrap.open_store(settings.storage)
    model = Model(
        lambda: find_checkpoint(settings.model).fingerprint(),
        lambda calibration: bootstrap.load_embedder(settings.model, calibration, for_batches=True),
    )
    return Parts(settings, store, bootstrap.open_catalog(settings, store), model)
