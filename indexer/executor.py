"""The seam between a run and the code that reads and embeds: in this process (`local_executor`) or on Ray (`ray`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from app.bootstrap import Parts
from app.storage.base import ObjectInfo
from app.types import ImageRecord
from indexer.progress import Progress
from indexer.results import ResultCollector
from indexer.signals import Stop


class Executor(Protocol):
    """Goes once through the objects to read."""

    def prepare(self, objects: Sequence[ObjectInfo], progress: Progress, *, needs_model: bool) -> None:
        """Slow work before the first picture, such as loading the model; `run` comes next. Raises AppError."""
        ...

    def run(self, objects: Sequence[ObjectInfo], stop: Stop) -> None:
        """Read and embed, and fill the collector. When `stop` turns true, return with the pictures done by then.

        Raises AppError. Other exceptions propagate; the collector then holds the pictures done before.
        """
        ...


MakeExecutor: TypeAlias = Callable[[Parts, Mapping[str, ImageRecord], ResultCollector], Executor]
"""Makes the executor of one run. Contents whose hash is among the keys of the mapping are not embedded again."""
