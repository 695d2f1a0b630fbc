"""A captioner that is loaded when the first picture needs it."""

from collections.abc import Callable
from functools import cached_property
from threading import Lock

from app.models.captioner.base import Captioner
from app.pictures.resize import Resize


class LazyCaptioner:
    """Loads a captioner once, at its first use. Thread-safe, but only one thread at a time may use the captioner."""

    def __init__(self, name: Callable[[], str], resize: Callable[[], Resize], load: Callable[[], Captioner]) -> None:
        """All functions raise ModelUnavailable; the first two load no weights."""
        self._name, self._resize, self._load = name, resize, load
        self._loading = Lock()
        self._loaded: Captioner | None = None

    @cached_property
    def name(self) -> str:
        """As `Captioner.name`. Does not load the model."""
        return self._name()

    @cached_property
    def resize(self) -> Resize:
        """As `Captioner.resize`. Does not load the model."""
        return self._loaded.resize if self._loaded else self._resize()

    @property
    def captioner(self) -> Captioner:
        """The model, loaded on the first call. Raises ModelUnavailable."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None
