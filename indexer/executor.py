"""The seam between a run and the code that reads and embeds: in this process (`local_executor`) or on Ray (`ray`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from app.bootstrap import Parts
from app.ingest.captioning import Said, describe
from app.ingest.reading import Content, ReadOutcome
from app.models.captioner.base import Captioner
from app.storage.base import ObjectInfo
from app.types import ImageRecord
from indexer.progress import Progress
from indexer.results import ResultCollector
from indexer.signals import Stop


@dataclass(frozen=True, slots=True)
class Described:
    """An object that was read for its caption alone."""

    outcome: ReadOutcome
    said: Said | None = None
    """What the captioner says; None where the object gave no picture."""


def described(captioner: Captioner, outcomes: Sequence[ReadOutcome]) -> list[Described]:
    """What the captioner says of the pictures among the outcomes; the pictures themselves are dropped."""
    pictures = {
        number: outcome.picture.image
        for number, outcome in enumerate(outcomes)
        if isinstance(outcome, Content) and outcome.picture
    }
    said = dict(zip(pictures, describe(captioner, list(pictures.values())), strict=True))
    return [Described(_without_picture(outcome), said.get(number)) for number, outcome in enumerate(outcomes)]


def _without_picture(outcome: ReadOutcome) -> ReadOutcome:
    return replace(outcome, picture=None) if isinstance(outcome, Content) else outcome


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

    def prepare_captions(self, progress: Progress) -> None:
        """Slow work before `caption`, such as loading the captioner. Raises AppError."""
        ...

    def caption(self, objects: Iterable[ObjectInfo]) -> Iterator[Sequence[Described]]:
        """Read pictures and describe them, batch by batch. Embeds nothing, and leaves the collector alone.

        An empty batch comes while one is being read: time to check for a stop. Raises AppError.
        """
        ...


MakeExecutor: TypeAlias = Callable[[Parts, Mapping[str, ImageRecord], ResultCollector], Executor]
"""Makes the executor of one run. Contents whose hash is among the keys of the mapping are not embedded again."""
