"""Models that are loaded when something needs them. Of the embedder the fingerprint is known at once."""

from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Generic, TypeVar

from app.models.base import Embedder
from app.models.calibration import Calibration
from app.pictures.decoding import ReadPicture
from app.types import ModelIdentity

_Model = TypeVar("_Model")


class Lazy(Generic[_Model]):
    """Loads a model once, at its first use. Thread-safe."""

    def __init__(self, load: Callable[[], _Model]) -> None:
        self._load = load
        self._loading = Lock()
        self._loaded: _Model | None = None

    @property
    def model(self) -> _Model:
        """Loaded on the first call. Raises as `load` does; the next call tries again."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    @property
    def loaded(self) -> _Model | None:
        """The model if it is in memory. Does not wait for one that is being loaded."""
        return self._loaded

    def forget(self) -> _Model | None:
        """Let go of the model, and return it. The next use loads it again."""
        with self._loading:
            forgotten, self._loaded = self._loaded, None
            return forgotten


class LazyEmbedder:
    """Loads an embedder once, at its first use. Thread-safe, but only one thread at a time may use the embedder."""

    def __init__(
        self,
        fingerprint: Callable[[], str],
        load: Callable[[Calibration | None], Embedder],
        name: Callable[[], str] = lambda: "another model",
    ) -> None:
        """All functions raise ModelUnavailable. `load` gets the pictures that 8-bit arithmetic can be fitted to."""
        self._fingerprint, self._name = fingerprint, name
        self._lazy = Lazy(lambda: load(self.calibration))
        self.calibration: Calibration | None = None
        self._elsewhere: ModelIdentity | None = None

    @cached_property
    def fingerprint(self) -> str:
        """As `ModelIdentity.fingerprint`. Does not load the model."""
        return self._fingerprint()

    @property
    def name(self) -> str:
        """As `ModelIdentity.name`. Does not load the model."""
        return self._name()

    @property
    def embedder(self) -> Embedder:
        """The model, loaded on the first call. Raises ModelUnavailable."""
        return self._lazy.model

    @property
    def is_loaded(self) -> bool:
        return self._lazy.loaded is not None

    def forget(self) -> None:
        """Free the model. The next use loads it again, in better arithmetic if some has been fitted since."""
        self._lazy.forget()
        self._elsewhere = None

    @property
    def identity(self) -> ModelIdentity:
        """The model that made the vectors, here or in other processes. Before any use it is loaded to find out."""
        return self._elsewhere or self.embedder.identity

    @property
    def is_used(self) -> bool:
        """Whether vectors may have been made with this model, in this process or in others."""
        return self.is_loaded or self._elsewhere is not None

    def worked_elsewhere(self, identity: ModelIdentity) -> None:
        """Note that other processes have loaded the model and make vectors with it."""
        self._elsewhere = identity

    @property
    def read_picture(self) -> ReadPicture:
        """As `Embedder.read_picture`; loads the model first."""
        return self.embedder.read_picture
