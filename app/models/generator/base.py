"""What a model that draws pictures from words can do, in any runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

Preview = Callable[[], Image.Image | None]
"""Draws the picture as it is after this step, small; takes a moment, so call it only when someone looks.

None where this pipeline's latents can't be drawn.
"""

OnStep = Callable[[int, int, Preview], None]
"""Called after each step with its number from 1, the number of all steps, and a preview. What it raises ends the
drawing: so a job is cancelled between steps."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that decides what a picture looks like. The same ones give the same picture, byte for byte on one device."""

    prompt: str
    width: int
    """Pixels."""
    height: int
    steps: int
    guidance: float
    """How closely the picture follows the prompt (classifier-free guidance, arXiv:2207.12598); 1: no guidance."""
    seed: int
    scheduler: str
    """One of `Abilities.schedulers`."""
    negative_prompt: str = ""
    strength: float = 0.8
    """How much of a given first picture is drawn anew, 0 to 1; means nothing without one."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a generator can draw, and what it does where a request says nothing."""

    width: int
    """Of pictures that name no size, pixels."""
    height: int
    size_multiple: int
    """Width and height are multiples of it."""
    min_side: int
    max_side: int
    steps: int
    guidance: float
    scheduler: str
    schedulers: tuple[str, ...]
    """Names by which requests choose one: `ddim`, `euler`, `dpm++`, ..."""
    max_steps: int = 1000
    takes_negative_prompts: bool = True
    takes_pictures: bool = True
    """Whether a drawing can begin from a picture."""


class Generator(Protocol):
    """Draws pictures. Not thread-safe."""

    name: str
    """For people and records: the hub's name and commit, or the folder's own name."""
    abilities: Abilities

    def generate(self, parameters: Parameters, first: Image.Image | None, on_step: OnStep) -> Image.Image:
        """An RGB picture. `first` is a picture that the drawing begins from.

        Raises InvalidInput for parameters outside of `abilities`, ContentRefused where the model's own safety checker
        rejects the result, and what `on_step` raises.
        """
        ...
