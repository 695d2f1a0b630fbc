"""A captioner that is loaded when the first picture needs it."""

from collections.abc import Callable
from functools import cached_property

from app.models.captioner.base import Captioner
from app.models.lazy import Lazy
from app.pictures.resize import Resize


class LazyCaptioner:
    """Loads a captioner once, at its first use. Thread-safe, but only one thread at a time may use the captioner."""

    def __init__(self, name: Callable[[], str], resize: Callable[[], Resize], load: Callable[[], Captioner]) -> None:
        """All functions raise ModelUnavailable; the first two load no weights."""
        self._name, self._resize = name, resize
        self._lazy = Lazy(load)

    @cached_property
    def name(self) -> str:
        """As `Captioner.name`. Does not load the model."""
        return self._name()

    @cached_property
    def resize(self) -> Resize:
        """As `Captioner.resize`. Does not load the model."""
        loaded = self._lazy.loaded
        return loaded.resize if loaded else self._resize()

    @property
    def captioner(self) -> Captioner:
        """The model, loaded on the first call. Raises ModelUnavailable."""
        return self._lazy.model

    @property
    def is_loaded(self) -> bool:
        return self._lazy.loaded is not None
