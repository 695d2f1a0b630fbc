"""What a request may ask for: the service's own limits first, then what the model can draw."""

from typing import TYPE_CHECKING, Final

from app.errors import InvalidInput
from app.generation.jobs import PictureRequest
from app.models.generator.base import Abilities, Parameters
from app.models.generator.limits import MAX_SEED, check_parameters, nearest_size
from app.settings import GenerationSettings

if TYPE_CHECKING:
    from app.pictures.decoding import Size  # the worker starts faster without the decoders

_LOWER: Final = "Ask for less, or let the operator of the service raise"


def check_limits(request: PictureRequest, settings: GenerationSettings) -> None:
    """Raise InvalidInput for a request that no model of this service may answer. Names the limit and its setting."""
    if not request.prompt.strip():
        raise InvalidInput("The prompt is empty. Say in words what the picture shows.")
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        _check(f"The {name} has {{:,}} characters", len(text), settings.max_prompt_chars, "GENERATION_MAX_PROMPT_CHARS")
    _check("{:,} pictures are too many for one job", request.count, settings.max_count, "GENERATION_MAX_COUNT")
    _check("{:,} steps are too many", request.steps or 0, settings.max_steps, "GENERATION_MAX_STEPS")
    check_size(request.width or 1, request.height or 1, settings)


def check_size(width: int, height: int, settings: GenerationSettings) -> None:
    """Raise InvalidInput for a picture that is too large."""
    what = f"A picture of {width} x {height} has {{:,}} pixels"
    _check(what, width * height, settings.max_pixels, "GENERATION_MAX_PIXELS")


def _check(what: str, number: int, most: int, setting: str) -> None:
    if number > most:
        raise InvalidInput(f"{what.format(number)}; at most {most:,} are allowed ({setting}). {_LOWER} it.")


def parameters_for(
    request: PictureRequest, abilities: Abilities, settings: GenerationSettings, seed: int, first: "Size | None"
) -> Parameters:
    """All numbers of the first picture. `first` is the size of the picture that the drawing begins from.

    Raises InvalidInput for what the model can't draw, and for what is too large.
    """
    width, height = nearest_size(*first, abilities) if first else (abilities.width, abilities.height)
    parameters = Parameters(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width or width,
        height=request.height or height,
        steps=request.steps or min(abilities.steps, settings.max_steps),
        guidance=abilities.guidance if request.guidance is None else request.guidance,
        seed=seed,
        scheduler=request.scheduler or abilities.scheduler,
        strength=request.strength,
    )
    check_size(parameters.width, parameters.height, settings)
    check_parameters(parameters, abilities, with_picture=first is not None)
    return parameters


def seed_of(seed: int, number: int) -> int:
    """The seed of the picture with this number, from 1, in a job whose first picture has `seed`."""
    return (seed + number - 1) % (MAX_SEED + 1)
