"""A model whose fingerprint is known at once. The model itself is loaded when something needs it."""

from collections.abc import Callable
from functools import cached_property
from threading import Lock

from app.models.base import Embedder
from app.models.calibration import Calibration
from app.pictures.decoding import ReadPicture
from app.types import ModelIdentity


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
        self._load = load
        self.calibration: Calibration | None = None
        self._loading = Lock()
        self._loaded: Embedder | None = None
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
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load(self.calibration)
            return self._loaded

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def forget(self) -> None:
        """Free the model. The next use loads it again, in better arithmetic if some has been fitted since."""
        with self._loading:
            self._loaded = self._elsewhere = None

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
