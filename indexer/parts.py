"""What a run works with. The model is loaded when the first picture needs it: an unchanged bucket never does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from PIL import Image

from app.catalog.catalog import Catalog
from app.settings import Settings
from app.storage.base import ObjectStore

if TYPE_CHECKING:
    from app.models.base import Embedder


class Model:
    """A model known by its fingerprint before it is loaded, and loaded once. For one thread, but `shrink`."""

    def __init__(self, fingerprint: Callable[[], str], load: "Callable[[], Embedder]") -> None:
        """Both raise ModelUnavailable."""
        self._fingerprint = fingerprint
        self._load = load

    @cached_property
    def fingerprint(self) -> str:
        return self._fingerprint()

    @cached_property
    def embedder(self) -> "Embedder":
        return self._load()

    @property
    def is_loaded(self) -> bool:
        return "embedder" in self.__dict__

    def shrink(self, image: Image.Image) -> Image.Image:
        """The picture as small as the model, if loaded, lets it be with the same vector. Thread-safe."""
        return self.embedder.shrink(image) if self.is_loaded else image


@dataclass(frozen=True)
class Parts:
    settings: Settings
    store: ObjectStore
    catalog: Catalog
    model: Model


def assemble(settings: Settings) -> Parts:
    """The parts as the settings say. Raises InvalidSettings."""
    from app import bootstrap
    from app.models.checkpoint import find_checkpoint

    store = bootstrap.open_store(settings.storage)
    model = Model(
        lambda: find_checkpoint(settings.model).fingerprint(), lambda: bootstrap.load_embedder(settings.model)
    )
    return Parts(settings, store, Catalog(store, settings.index), model)
