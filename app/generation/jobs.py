"""The nouns of generation: what is asked for, how far it is, and what came out."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from app.models.generator.base import Parameters

CANCELLED_BY_CALLER: Final = "It was cancelled."


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a running job does."""

    LOADING = "loading"
    """The model is being loaded, perhaps downloaded."""
    DRAWING = "drawing"
    SAVING = "saving"
    """The pictures are put into the library."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What a caller asks for. What is None is as the model does it by default."""

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    """Of the first picture; the next ones count up from it. None: by chance."""
    count: int = 1
    scheduler: str | None = None
    init_image_id: str | None = None
    """An indexed picture that the drawing begins from."""
    strength: float = 0.8
    """How much of a first picture is drawn anew, 0 to 1."""
    save_to_folder: str | None = None
    """Where the results go at once; None: into no folder."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job is."""

    phase: Phase = Phase.LOADING
    picture: int = 1
    """Number of the picture that is being drawn, from 1."""
    step: int = 0
    steps: int = 0
    """0 while it is not known."""
    preview: str | None = None
    """A small picture of how it looks by now, as a `data:` address."""


@dataclass(frozen=True, slots=True)
class Result:
    """One finished picture."""

    number: int
    """From 1."""
    seed: int
    width: int
    height: int
    size_bytes: int
    image_id: str | None = None
    """In the library, once it is saved there."""
    object_key: str | None = None
    save_error: str | None = None
    """Why it is not in the folder that it was meant for."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One job as it is at a moment, from the request that started it to its results."""

    id: str
    request: PictureRequest
    caller: str
    """Tells callers apart; no address and no key can be read from it."""
    created_at: float
    """Seconds since the epoch, UTC."""
    state: State = State.QUEUED
    parameters: Parameters | None = None
    """All that decided the first picture, once the model is loaded. The next ones differ in their seeds."""
    model: str | None = None
    """`Generator.name`."""
    results: tuple[Result, ...] = ()
    """The pictures that are finished, also while others are drawn."""
    error: str | None = None
    """Why it failed, as clients may know it."""
    is_refused: bool = False
    """It failed by its request or by its picture's content: it would fail again."""
    finished_at: float | None = None
    init_folder: str | None = None
    """The folder of the picture that it began from; None for an upload, or none."""
    has_first: bool = False
    """Whether the drawing begins from a picture."""
    progress: Progress | None = None
    """Only while it runs."""

    @property
    def is_over(self) -> bool:
        return self.state not in (State.QUEUED, State.RUNNING)

    def ended(self, state: State, at: float, error: str | None = None, *, is_refused: bool = False) -> "Generation":
        return replace(self, state=state, error=error, is_refused=is_refused, finished_at=at, progress=None)
