"""What a generated picture's file says about how it was made, so that the same can be drawn again."""

from collections.abc import Mapping
from typing import Final

from app.errors import InvalidInput
from app.models.generator.base import Parameters

SOFTWARE: Final = "image2search"
"""Without a version: the file must be the same after an upgrade that draws the same picture."""


def entries_of(parameters: Parameters, generator_name: str, *, with_picture: bool = False) -> dict[str, str]:
    """Text entries for `write_png`. `with_picture`: the drawing began from a picture, so its strength counts."""
    entries = {
        "prompt": parameters.prompt,
        "negative_prompt": parameters.negative_prompt,
        "width": str(parameters.width),
        "height": str(parameters.height),
        "steps": str(parameters.steps),
        "guidance": repr(float(parameters.guidance)),
        "seed": str(parameters.seed),
        "scheduler": parameters.scheduler,
    }
    if with_picture:
        entries["strength"] = repr(float(parameters.strength))
    return entries | {"model": generator_name, "Software": SOFTWARE}


def parameters_of(entries: Mapping[str, str]) -> Parameters:
    """What `entries_of` wrote. Raises InvalidInput for a picture that was not made here."""
    try:
        return Parameters(
            prompt=entries["prompt"],
            negative_prompt=entries["negative_prompt"],
            width=int(entries["width"]),
            height=int(entries["height"]),
            steps=int(entries["steps"]),
            guidance=float(entries["guidance"]),
            seed=int(entries["seed"]),
            scheduler=entries["scheduler"],
            **({"strength": float(entries["strength"])} if "strength" in entries else {}),
        )
    except (KeyError, ValueError) as error:
        raise InvalidInput("The picture does not say how it was generated.") from error
