"""Whether a generator can draw what is asked for, and with which numbers where a request says nothing."""

import math
from typing import Final

from PIL import Image, ImageOps

from app.errors import InvalidInput
from app.models.generator.base import Abilities, Parameters

MAX_SEED: Final = 2**32 - 1

MAX_GUIDANCE: Final = 50.0
"""Far above what draws anything but noise; it keeps the arithmetic finite."""


def check_parameters(parameters: Parameters, abilities: Abilities, *, with_picture: bool) -> None:
    """Raise InvalidInput, with the limit named, for what the generator can't draw."""
    if problem := _problem_of(parameters, abilities) or (with_picture and _picture_problem(parameters, abilities)):
        raise InvalidInput(problem)


def fitted(picture: Image.Image, parameters: Parameters) -> Image.Image:
    """A first picture in the size that is asked for: scaled, and cut at two sides where its shape differs."""
    return ImageOps.fit(picture.convert("RGB"), (parameters.width, parameters.height), Image.Resampling.LANCZOS)


def steps_with_picture(steps: int, strength: float) -> int:
    """How many of the steps are taken where a drawing begins from a picture."""
    return min(int(steps * strength), steps)


def nearest_size(width: int, height: int, abilities: Abilities) -> tuple[int, int]:
    """The size with about the shape of a picture and about the area of the generator's own size, for a first picture.

    Its sides are multiples that `check_parameters` takes.
    """
    scale = math.sqrt(abilities.width * abilities.height / (width * height))
    return _allowed(width * scale, abilities), _allowed(height * scale, abilities)


def _allowed(side: float, abilities: Abilities) -> int:
    multiple = abilities.size_multiple
    least, most = -(-abilities.min_side // multiple), abilities.max_side // multiple
    return multiple * max(least, min(most, round(side / multiple)))


def _problem_of(parameters: Parameters, abilities: Abilities) -> str | None:
    return (
        _size_problem(parameters, abilities)
        or _number_problem(parameters, abilities)
        or _word_problem(parameters, abilities)
    )


def _size_problem(parameters: Parameters, abilities: Abilities) -> str | None:
    for name, side in (("width", parameters.width), ("height", parameters.height)):
        if not abilities.min_side <= side <= abilities.max_side or side % abilities.size_multiple:
            return (
                f"{name}={side} can't be drawn. This model draws from {abilities.min_side} to {abilities.max_side}"
                f" pixels, in multiples of {abilities.size_multiple}."
            )
    return None


def _number_problem(parameters: Parameters, abilities: Abilities) -> str | None:
    if not 1 <= parameters.steps <= abilities.max_steps:
        return f"steps={parameters.steps} can't be taken. This model takes 1 to {abilities.max_steps}."
    if not 0 <= parameters.guidance <= MAX_GUIDANCE:
        return f"guidance={parameters.guidance:g} is out of range. Give 0 to {MAX_GUIDANCE:g}; 1 means no guidance."
    if not 0 <= parameters.seed <= MAX_SEED:
        return f"seed={parameters.seed} is out of range. Give 0 to {MAX_SEED}."
    return None


def _word_problem(parameters: Parameters, abilities: Abilities) -> str | None:
    if parameters.scheduler not in abilities.schedulers:
        known = ", ".join(abilities.schedulers)
        return f"This model has no scheduler {parameters.scheduler!r}. It has {known}."
    if parameters.negative_prompt and not abilities.takes_negative_prompts:
        return "This model takes no negative prompt. Leave it out."
    if parameters.negative_prompt and parameters.guidance <= 1:
        return "A negative prompt has no effect without guidance. Give guidance above 1, or leave the prompt out."
    return None


def _picture_problem(parameters: Parameters, abilities: Abilities) -> str | None:
    if not abilities.takes_pictures:
        return "This model can't begin a drawing from a picture. Leave the picture out."
    if not 0 < parameters.strength <= 1:
        return f"strength={parameters.strength:g} is out of range. Give more than 0 and at most 1."
    if steps_with_picture(parameters.steps, parameters.strength) < 1:
        least = math.ceil(1 / parameters.strength)
        return (
            f"strength={parameters.strength:g} leaves none of {parameters.steps} steps. Give at least {least} steps, or"
            " more strength."
        )
    return None
